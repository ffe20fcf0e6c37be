"""The Triton kernel against the plain recursion, interpreted on the CPU."""

import json
import os
import subprocess
import sys

import pytest
import torch
from tests.conftest import ROOT
from tests.tasks.segmentation.test_inference import random_chain

from kinoflow.errors import ConfigError
from kinoflow.tasks.segmentation.inference import log_partition

# Whether triton interprets is settled when it is imported, and torch may have imported it already: so in a process of its own.
PROGRAM = """
import json, sys
from dataclasses import replace
import torch
from tests.tasks.segmentation.enumeration import random_chain
from kinoflow.tasks.segmentation import inference, messages
from kinoflow.tasks.segmentation.chain import Chain, LowRank
torch.set_num_threads(1)

def values(chain, kernel):
    leaves = [chain.emissions, chain.initial, chain.durations, *chain.transition]
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    emissions, initial, durations, left, right = leaves
    found = inference.log_partition(
        Chain(emissions, chain.lengths, initial, durations, LowRank(left, right), chain.final), kernel)
    found.sum().backward()
    with torch.no_grad():
        return [found.detach(), inference.log_partition(chain, kernel), *(leaf.grad for leaf in leaves),
                *inference.posteriors(chain, kernel)]

cases = [((7, 4), 5, 3, 2, "final"), ((4, 2), 3, 5, 1, "shared"), ((3,), 33, 2, 17, "plain")]
worst = 0.0
from kinoflow.tasks.segmentation import kernels
kernels.TILE = 256  # several tiles at this size too
for number, (lengths, states, longest, rank, kind) in enumerate(cases):
    chain = random_chain(number, lengths, states, longest, rank, kind, dtype=torch.float32)
    assert messages.prepare(chain, 1).fast
    for plain, triton in zip(values(chain, "plain"), values(chain, "triton"), strict=True):
        worst = max(worst, float((plain - triton).abs().max() / max(1.0, float(plain.abs().max()))))
print(json.dumps(worst))
"""


def test_values_and_gradients_equal_those_of_the_plain_recursion():
    pytest.importorskip("triton", reason="triton is not installed here (it comes with torch on Linux)")
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    ran = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) < 1e-4


def test_without_a_gpu_it_says_so():
    triton = pytest.importorskip("triton", reason="triton is not installed here (it comes with torch on Linux)")
    if triton.knobs.runtime.interpret:
        pytest.skip("TRITON_INTERPRET is set for this whole run")
    with pytest.raises(ConfigError, match="triton runs on a GPU"):
        log_partition(random_chain(0, rank=2, dtype=torch.float32), "triton")
