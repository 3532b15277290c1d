"""Where each tensor stands, asserted by name on the architectures whose names or order mislead."""

import pytest
import torch
import transformers

from ftcli.errors import PlanError
from ftcli.plan.anatomy import frozen_modules, read_anatomy


def meta(config):
    with torch.device("meta"):
        return transformers.AutoModelForSequenceClassification.from_config(config)


SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 60, "max_position_embeddings": 40,
}  # fmt: skip
DEBERTA = transformers.DebertaV2Config(
    **SMALL, intermediate_size=48, relative_attention=True, pos_att_type=["p2c", "c2p"], norm_rel_ebd="layer_norm",
    conv_kernel_size=3, embedding_size=16,
)  # fmt: skip
OPT = transformers.OPTConfig(**SMALL, ffn_dim=48, word_embed_proj_dim=16)
GPT2 = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=60, bos_token_id=2, eos_token_id=2)
BART = transformers.BartConfig(
    d_model=32, encoder_layers=2, decoder_layers=3, encoder_attention_heads=2, decoder_attention_heads=2,
    encoder_ffn_dim=48, decoder_ffn_dim=48, vocab_size=60, max_position_embeddings=40,
)  # fmt: skip


@pytest.mark.parametrize(
    ("config", "name", "unit"),
    [
        (DEBERTA, "deberta.encoder.rel_embeddings.weight", "embeddings"),
        (DEBERTA, "deberta.encoder.LayerNorm.bias", "embeddings"),
        (DEBERTA, "deberta.embeddings.embed_proj.weight", "embeddings"),
        (DEBERTA, "deberta.encoder.conv.conv.weight", "deberta.encoder.layer.0"),
        (DEBERTA, "pooler.dense.weight", "head"),
        (OPT, "model.decoder.project_in.weight", "embeddings"),
        (OPT, "model.decoder.project_out.weight", "final"),
        (OPT, "model.decoder.final_layer_norm.bias", "final"),
        (OPT, "model.decoder.layers.1.final_layer_norm.bias", "model.decoder.layers.1"),
        (GPT2, "transformer.ln_f.weight", "final"),
        (GPT2, "transformer.wpe.weight", "embeddings"),
        (BART, "model.encoder.layernorm_embedding.weight", "embeddings"),
        (BART, "model.decoder.layernorm_embedding.weight", "embeddings"),
        (BART, "model.decoder.embed_positions.weight", "embeddings"),
        (BART, "classification_head.dense.weight", "head"),
        (
            transformers.ElectraConfig(**SMALL, embedding_size=16),
            "electra.embeddings_project.bias",
            "embeddings",
        ),
        (
            transformers.AlbertConfig(**SMALL, embedding_size=16),
            "albert.encoder.embedding_hidden_mapping_in.weight",
            "embeddings",
        ),
        (transformers.AlbertConfig(**SMALL, embedding_size=16), "albert.pooler.weight", "final"),
        (transformers.BertConfig(**SMALL), "bert.pooler.dense.weight", "final"),
    ],
)
def test_a_tensor_stands_in_its_unit(config, name, unit):
    anatomy = read_anatomy(meta(config))
    assert [u.name for u in anatomy.units if name in u.tensors] == [unit]


def test_units_are_ordered_and_count_every_parameter_once():
    model = meta(BART)
    anatomy = read_anatomy(model)
    blocks = [f"model.encoder.layers.{i}" for i in range(2)] + [f"model.decoder.layers.{i}" for i in range(3)]
    assert [u.name for u in anatomy.units] == ["embeddings", *blocks, "final", "head"]
    assert [u.name for u in anatomy.blocks] == blocks
    assert (
        sum(u.numel for u in anatomy.units)
        == anatomy.num_parameters
        == sum(p.numel() for p in model.parameters())
    )
    assert anatomy.tied == (
        ("model.shared.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"),
    )


def test_parallel_lists_of_one_parent_are_one_block_a_layer():
    # XLM keeps attentions, layer_norm1, ffns and layer_norm2 in four lists side by side.
    config = transformers.XLMConfig(
        emb_dim=32, n_layers=3, n_heads=2, vocab_size=60, max_position_embeddings=40
    )
    anatomy = read_anatomy(meta(config))
    assert len(anatomy.blocks) == 3
    assert {name.split(".")[1] for name in anatomy.blocks[1].tensors} == {
        "attentions", "layer_norm1", "ffns", "layer_norm2",
    }  # fmt: skip
    assert all(name.split(".")[2] == "1" for name in anatomy.blocks[1].tensors)


def test_norms_and_biases_are_known_by_module_and_name():
    tensors = {t.name: t for t in read_anatomy(meta(GPT2)).tensors}
    assert tensors["transformer.h.0.ln_1.bias"].is_norm and tensors["transformer.h.0.ln_1.bias"].is_bias
    conv = tensors["transformer.h.0.attn.c_attn.bias"]
    assert (conv.is_bias, conv.is_norm, conv.shape, conv.dtype) == (True, False, (96,), "float32")
    config = transformers.LlamaConfig(**SMALL, intermediate_size=48)
    norms = {t.name for t in read_anatomy(meta(config)).tensors if t.is_norm}
    assert norms == {"model.norm.weight"} | {
        f"model.layers.{i}.{n}_layernorm.weight" for i in (0, 1) for n in ("input", "post_attention")
    }


def test_a_model_without_a_head_is_refused():
    with torch.device("meta"):
        model = transformers.BertModel(transformers.BertConfig(**SMALL))
    with pytest.raises(PlanError, match="BertModel has no base model"):
        read_anatomy(model)


def test_a_wholly_frozen_encoder_is_in_eval_mode_as_one():
    # Its own functional dropout on the embeddings asks the encoder module, not a Dropout inside it.
    model = meta(BART)
    anatomy = read_anatomy(model)
    frozen = frozen_modules(model, [*anatomy.head.tensors, *anatomy.blocks[-1].tensors])
    assert "model.encoder" in frozen and "model.decoder" not in frozen
    assert frozen_modules(model, anatomy.head.tensors) == ["model"]
    assert frozen_modules(model, anatomy.names) == []


def test_one_tensor_that_trains_keeps_its_whole_unit_in_train_mode():
    model = meta(transformers.BertConfig(**SMALL))
    frozen = frozen_modules(model, ["bert.encoder.layer.1.attention.self.query.bias", "classifier.weight"])
    assert frozen == ["bert.embeddings", "bert.encoder.layer.0", "bert.pooler"]


def test_statistics_of_a_frozen_batch_norm_stay_frozen_in_a_block_that_trains():
    import torch
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    model = ResNetForImageClassification(config)
    trainable = {
        n
        for n, _ in model.named_parameters()
        if n.startswith("classifier") or n.endswith("convolution.weight")
    }
    model.train()
    for name in frozen_modules(model, trainable):
        model.get_submodule(name).eval()
    norms = {name: m for name, m in model.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    before = {name: norm.running_mean.clone() for name, norm in norms.items()}
    model(pixel_values=torch.randn(4, 3, 32, 32))
    assert norms and all(torch.equal(norm.running_mean, before[name]) for name, norm in norms.items())
    one = next(iter(norms))
    named = frozen_modules(model, trainable | {f"{one}.weight"})
    assert one not in named and len(named) == len(norms) - 1
