"""A sweep of a tiny grid, for its tests: its file, its cells, and which heads a cell kept."""

import yaml

from dsp_fairseq.families.transformer.inventory import transformer_inventory
from dsp_fairseq.structures.inventory import uniform_order
from dsp_fairseq.sweep import plan
from dsp_fairseq.sweep.config import read_config

TRAIN = "--arch gated_transformer_tiny --optimizer adam --max-tokens 800 --max-update 30"


def write_config(tmp_path, **changes):
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)
    content = {
        "data": str(data),
        "out": str(tmp_path / "out"),
        "train": TRAIN,
        "generate": "--beam 5 --remove-bpe",
        "grid": {"method": ["dsp", "uniform"], "heads_to_keep": [12, 4], "seed": [1, 2]},
        **changes,
    }
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return str(path)


def cells(tmp_path, **changes):
    return plan.cells_of(read_config(write_config(tmp_path, **changes)))


def with_heads(record, heads, layers=3, of=4, chosen=None):
    inventory = transformer_inventory(layers, of, layers, of)
    chosen = uniform_order(inventory)[:heads] if chosen is None else chosen
    kept = inventory.keeping([head in chosen for head in range(inventory.units)]).indices()
    return record._replace(kept=kept, heads={block.name: block.original_units for block in inventory.blocks})
