"""Milliseconds of sampling the gates once, forward and backward, on one core.

    python benchmarks/sampling.py [--device cuda] [--runs 200] [--json FILE]

The k sequential softmaxes of the relaxed subset are what DSP adds to every update. Goals on a CPU: at most
1 ms at H = 72, K = 24 and at most 8 ms at H = 288, K = 144.

* alone: the two passes of the relaxed subset, where the logits are: on the CPU, whatever the model's device;
* in an update: all that the gates of one update cost, on the model's device where the gates are needed: the noise,
  the sample, its way to the device, the gradient's way back, the backward pass.

Then the cut sampler, alone: heads and hidden units of WMT big under a budget of half their parameters, without limits
and with a floor and a cap in every block. Goals on a CPU: at most 2 ms with 288 heads and 384 groups of 64 hidden
units, at most 20 ms with 24,576 single units.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path

import torch
from measured import add_arguments, check_device, spread, write

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from dsp_fairseq.families.transformer.inventory import transformer_inventory
from dsp_fairseq.gates import gumbel_noise, straight_through_gumbel_top_k
from dsp_fairseq.gates.choice import Choice, Share
from dsp_fairseq.gates.cut import straight_through_gumbel_cut
from dsp_fairseq.gates.gates import Gates
from dsp_fairseq.gates.limits import Limits
from dsp_fairseq.gates.methods import PublishedDsp
from dsp_fairseq.gates.priced_units import PricedUnits

SIZES = [(36, 12), (72, 24), (72, 36), (144, 72), (288, 144)]
WARM_UP = 10  # runs that are not counted
BLOCKS = 18  # of 2, 4, 8 or 16 heads
HEAD, HIDDEN = 4 * 1024 * 64 + 3 * 64, 2 * 1024 + 1  # parameters of a head and of a hidden unit of WMT big
# by name: units per block and cost of one, of every block
PRICED = {
    "288 heads, 384 groups of 64": ((16,) * 18 + (32,) * 12, (HEAD,) * 18 + (64 * HIDDEN,) * 12),
    "24,576 single units": ((2048,) * 12, (HIDDEN,) * 12),
}


def alone(heads: int, keep: int, runs: int) -> "list[float]":
    """Milliseconds of each run."""
    logits = torch.randn(heads, dtype=torch.float64, requires_grad=True)
    slope = torch.randn(heads, dtype=torch.float64)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        gates = straight_through_gumbel_top_k(logits, keep, 0.3, gumbel_noise(heads))
        (gates * slope).sum().backward()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def gates_of(heads: int, keep: int) -> Gates:
    """Gates that are sampled with K = ``keep`` at every update."""
    inventory = transformer_inventory(BLOCKS // 3, heads // BLOCKS, BLOCKS // 3, heads // BLOCKS)
    choice = Choice((Share(keep, Limits(tuple(inventory.sizes))),))
    return Gates(inventory, choice, [PublishedDsp(heads, keep, 0.3, 0.3, 0)], rate=0.1, seed=1)


def in_an_update(device: str, heads: int, keep: int, runs: int) -> "list[float]":
    """Milliseconds of each run, as real time with all work of the device done."""
    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    gates, slope, times = gates_of(heads, keep), torch.randn(heads, device=device), []
    for update in range(1, runs + 1):
        gates.set_num_updates(update)
        wait()
        start = time.perf_counter()
        (gates.of_update(torch.device(device)) * slope).sum().backward()
        gates.gradient()
        wait()
        times.append(1e3 * (time.perf_counter() - start))
        gates.begin_update()
    return times


def priced(name: str, limited: bool) -> PricedUnits:
    """With limits every block keeps an eighth of its units at least and five eighths at most."""
    sizes, costs = PRICED[name]
    least, most = (tuple(size * eighths // 8 for size in sizes) if limited else () for eighths in (1, 5))
    return PricedUnits(sizes, costs, least, most)


def cut(name: str, limited: bool, runs: int) -> "list[float]":
    """Milliseconds of each run, noise included."""
    units = priced(name, limited)
    size, budget = sum(units.sizes), PricedUnits(units.sizes, units.costs).cost_of_caps // 2
    logits = torch.randn(size, dtype=torch.float64, requires_grad=True)
    slope = torch.randn(size, dtype=torch.float64)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        gates = straight_through_gumbel_cut(logits, gumbel_noise(size), units, budget, 0.3)
        (gates * slope).sum().backward()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def middle(run, runs: int) -> dict:
    """Median and range of the runs but for the tenths at both ends, which are the machine's."""
    run(WARM_UP)
    times, tenth = sorted(run(runs)), runs // 10
    return spread(times[tenth : runs - tenth])


def measure(device: str, runs: int) -> "list[dict]":
    results = []
    for heads, keep in SIZES:
        row = {"heads": heads, "keep": keep}
        for name, run in (("alone", alone), ("in_an_update", partial(in_an_update, device))):
            row[name] = middle(partial(run, heads, keep), runs)
        results.append(row)
    return results


def shown(found: dict) -> str:
    return f"{found['median']:9.2f}  ({found['min']:.2f} to {found['max']:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    add_arguments(parser)
    given = parser.parse_args()
    check_device(given.device)
    torch.set_num_threads(1)
    results = measure(given.device, given.runs)
    print(f"heads  keep  median ms alone (10% to 90%)  in an update, model on {given.device}")
    for row in results:
        print(f"{row['heads']:5}  {row['keep']:4}  {shown(row['alone'])}  {shown(row['in_an_update'])}")
    cuts = {name: [middle(partial(cut, name, limited), given.runs) for limited in (False, True)] for name in PRICED}
    print("\nunits under a budget         median ms alone (10% to 90%)  with floors and caps")
    for name, (free, limited) in cuts.items():
        print(f"{name:27}  {shown(free)}  {shown(limited)}")
    if given.json:
        write(given.json, "sampling", given.device, {"device": given.device, "runs": given.runs}, results)


if __name__ == "__main__":
    main()
