"""The room's faces: what they export, and that torch is all that they need."""

import subprocess
import sys

import recbole_mpo.layers
import recbole_mpo.layers.mpo

FACES = [recbole_mpo.layers, recbole_mpo.layers.mpo]


def test_faces_export_what_they_name():
    for face in FACES:
        assert face.__all__ == sorted(face.__all__, key=lambda name: (not name.isupper(), name.islower(), name))
        assert all(hasattr(face, name) for name in face.__all__)


def test_the_public_names_of_mpo_layers():
    expected = {"MPOLinear", "MPOShape", "convert_to_mpo", "merge_mpo", "merged", "mpo_layers", "dense_state_dict"}
    expected |= {"get_nb_trainable_parameters", "print_trainable_parameters", "TruncationReport"}
    assert set(recbole_mpo.layers.mpo.__all__) == expected | {"STRATEGIES", "GAUGES", "EXPANSION_INITS"}


def test_layers_need_torch_alone_and_no_other_room():
    """In a fresh interpreter in which everything else cannot be imported."""
    script = """
import sys
for name in ("recbole", "pandas", "scipy", "sklearn", "safetensors", "yaml"):
    sys.modules[name] = None
from recbole_mpo.layers import MoEAdaptor
from recbole_mpo.layers.mpo import convert_to_mpo
import recbole_mpo.layers.graph_attention
convert_to_mpo(MoEAdaptor(12, 8, 2), "all-linear", num_cores=3)
rooms = {name.split(".")[1] for name in sys.modules if name.startswith("recbole_mpo.")}
print(*sorted(rooms))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["layers"]
