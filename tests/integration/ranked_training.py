"""`fairseq-train` as one of several processes, which leaves its gates in FOLDER: ranked_training.py FOLDER FLAGS..."""

import os
import sys

import torch
from fairseq_cli import train

folder = sys.argv.pop(1)
trainers = []


class Trainer(train.Trainer):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        trainers.append(self)


train.Trainer = Trainer
train.cli_main()
torch.save(dict(trainers[0].get_model().gates.state_dict()), os.path.join(folder, f"{os.environ['RANK']}.pt"))
