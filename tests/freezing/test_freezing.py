"""Each strategy's tensors, counted by hand on GPT-2 and by name on BERT."""

import json

import pytest
from tiny_models import GPT2_SMALL

from ftcli.config.compose import load
from ftcli.config.registry import lookup
from ftcli.errors import PlanError
from ftcli.plan.anatomy import read_anatomy
from ftcli.run import meta


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    """The real shape of GPT-2 small, from a config.json alone."""
    folder = tmp_path_factory.mktemp("gpt2")
    (folder / "config.json").write_text(json.dumps(GPT2_SMALL))
    return read_anatomy(
        meta.build_meta_model(load(["model=local", f"model.path={folder}", "model.weights=random"]).config)
    )


def select(name: str, anatomy, **fields):
    entry = lookup("freezing", name)
    return entry.build(entry.config_class(**fields), anatomy)


def test_bias_only_counts_conv1d_and_layer_norm_biases(gpt2):
    selection = select("bias-only", gpt2)
    base = {name for name in selection.trainable if not name.startswith("score")}
    # a layer: ln_1 768, c_attn 2304, c_proj 768, ln_2 768, c_fc 3072, mlp c_proj 768; and ln_f 768
    assert gpt2.numel(base) == 12 * (768 + 2304 + 768 + 768 + 3072 + 768) + 768 == 102_144
    assert gpt2.numel(selection.trainable) == 102_144 + 2 * 768
    assert {"transformer.ln_f.bias", "transformer.h.0.ln_1.bias", "transformer.h.11.attn.c_attn.bias"} <= base


def test_none_and_head_only(gpt2):
    assert gpt2.numel(select("none", gpt2).trainable) == 124_439_808 + 1_536
    assert select("head-only", gpt2).trainable == {"score.weight"}


def test_embeddings_and_bottom_layers(gpt2):
    left = select("embeddings", gpt2).trainable
    assert set(gpt2.names) - left == {"transformer.wte.weight", "transformer.wpe.weight"}
    left = select("bottom-layers", gpt2, num_layers=10).trainable
    layers = {name.split(".")[2] for name in left if ".h." in name}
    assert (
        layers == {"10", "11"} and "transformer.ln_f.weight" in left and "transformer.wte.weight" not in left
    )
    with pytest.raises(PlanError, match="12"):
        select("bottom-layers", gpt2, num_layers=13)


def test_patterns_match_whole_names(gpt2):
    trained = select(
        "patterns", gpt2, train=[r"transformer\.h\.1\..*", "score.*"], freeze=[r".*ln_1.*"]
    ).trainable
    assert "transformer.h.1.attn.c_attn.weight" in trained and "score.weight" in trained
    assert not any(".h.11." in name or "ln_1" in name for name in trained)
    with pytest.raises(PlanError) as caught:
        select("patterns", gpt2, train=["ln_f"], freeze=["transfomer.*"])
    assert [p.key for p in caught.value.problems] == ["freezing.train", "freezing.freeze"]
    assert ".*ln_f.*" in caught.value.problems[0].hint and "transformer" in caught.value.problems[1].hint


@pytest.mark.parametrize("name", ["none", "head-only", "bias-only", "embeddings", "bottom-layers"])
def test_hits_say_what_was_chosen(gpt2, name):
    for hit in select(name, gpt2).hits:
        assert hit.names and hit.numel == gpt2.numel(hit.names)
