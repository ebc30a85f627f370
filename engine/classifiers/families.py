"""Reads a loaded transformers classifier into a PackedEncoder, where its family is one that is known here.

Known are BERT, RoBERTa and XLM-RoBERTa, and DeBERTa-v2/v3. Whether the reading was right is not believed but compared,
see engine/classifiers/choose.py: a subclass that differs somewhere is then served by transformers' own code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.classifiers import deberta
from engine.classifiers.attention import Attention, PositionTerm
from engine.classifiers.encoder import Layer, PackedEncoder
from engine.classifiers.layout import Layout
from engine.reduced import bias_of, make_linear

Checkpoint: TypeAlias = Any
"""transformers' own modules carry no types."""


def read(model: Checkpoint, kind: str) -> PackedEncoder | None:
    """None where transformers' own code has to do it."""
    reader = _READERS.get(type(model).__name__)
    return None if reader is None else reader(model, kind)


def _bert(model: Checkpoint, kind: str) -> PackedEncoder:
    base = model.bert
    return _encoder(model, _embed(base.embeddings), _head(base.pooler, model.classifier), _plain_layers(base, kind))


def _roberta(model: Checkpoint, kind: str) -> PackedEncoder:
    embeddings = model.roberta.embeddings

    def embed(layout: Layout) -> Tensor:
        """Places count from behind the padding id, and a padding token inside a text does not count."""
        texts = torch.split(layout.ids_t, [*layout.lengths, layout.filling])
        number = embeddings.create_position_ids_from_input_ids
        numbered = [number(text[None], embeddings.padding_idx)[0] for text in texts]
        return _embedded(embeddings, layout.ids_t, torch.cat(numbered))

    return _encoder(model, embed, model.classifier, _plain_layers(model.roberta, kind))


def _deberta(model: Checkpoint, kind: str) -> PackedEncoder:
    base, encoder = model.deberta, model.deberta.encoder
    distances, table_pD = None, None
    if encoder.relative_attention:
        span = encoder.layer[0].attention.self.pos_ebd_size
        distances = deberta.Distances(encoder, span, model.config.max_position_embeddings, model.device)
        table_pD = encoder.get_rel_embedding()[: 2 * span]
    layers = []
    for layer in encoder.layer:
        own = layer.attention.self
        term = deberta.read_term(own, table_pD, distances, _attention_dtype(kind))
        projections = (own.query_proj, own.key_proj, own.value_proj)
        layers.append(_layer(layer, projections, own.num_attention_heads, deberta.scale_of(own), term, kind))
    after_first = None if encoder.conv is None else _convolution(encoder.conv)
    return _encoder(model, _embed(base.embeddings), _head(model.pooler, model.classifier), layers, after_first)


_READERS: dict[str, Callable[[Checkpoint, str], PackedEncoder]] = {
    "BertForSequenceClassification": _bert,
    "RobertaForSequenceClassification": _roberta,
    "XLMRobertaForSequenceClassification": _roberta,
    "DebertaV2ForSequenceClassification": _deberta,
}


def _encoder(
    model: Checkpoint,
    embed: Callable[[Layout], Tensor],
    head: Callable[[Tensor], Tensor],
    layers: list[Layer],
    after_first: Callable[[Tensor, Tensor, Layout], Tensor] | None = None,
) -> PackedEncoder:
    return PackedEncoder(embed, tuple(layers), head, model.config.pad_token_id or 0, model.device, after_first)


def _embed(embeddings: Checkpoint) -> Callable[[Layout], Tensor]:
    return lambda layout: _embedded(embeddings, layout.ids_t, layout.place_t)


def _head(pooler: Checkpoint, classifier: Checkpoint) -> Callable[[Tensor], Tensor]:
    """Only these two are held: the layers' own weights can go when the model does."""
    return lambda first_b1D: classifier(pooler(first_b1D))


def _plain_layers(base: Checkpoint, kind: str) -> list[Layer]:
    layers = []
    for layer in base.encoder.layer:
        own = layer.attention.self
        scale = float(own.attention_head_size**0.5)
        layers.append(_layer(layer, (own.query, own.key, own.value), own.num_attention_heads, scale, None, kind))
    return layers


def _layer(
    layer: Checkpoint,
    projections: tuple[Checkpoint, ...],
    heads: int,
    scale: float,
    term: PositionTerm | None,
    kind: str,
) -> Layer:
    """Query, key and value in one product; the scores' scale goes into the query's weights."""
    weights, biases = [one.weight for one in projections], [bias_of(one) for one in projections]
    qkv_weight = torch.cat([weights[0] / scale, *weights[1:]])
    qkv_bias = torch.cat([biases[0] / scale, *biases[1:]])
    attended, middle, after = layer.attention.output, layer.intermediate, layer.output
    return Layer(
        qkv=make_linear(kind, qkv_weight, qkv_bias, out=_attention_dtype(kind)),
        attention=Attention(heads, term),
        out=make_linear(kind, attended.dense.weight, bias_of(attended.dense), out=_attention_dtype(kind)),
        attention_norm=attended.LayerNorm,
        up=_up(middle, kind),
        down=make_linear(kind, after.dense.weight, bias_of(after.dense), out=_attention_dtype(kind)),
        output_norm=after.LayerNorm,
    )


def _up(middle: Checkpoint, kind: str) -> Callable[[Tensor], Tensor]:
    weight, bias = middle.dense.weight, bias_of(middle.dense)
    activation = middle.intermediate_act_fn
    if type(activation).__name__ == "GELUActivation" or activation is F.gelu:
        return make_linear(kind, weight, bias, out=_attention_dtype(kind), gelu=True)
    linear = make_linear(kind, weight, bias)
    return lambda x_tD: activation(linear(x_tD))


def _attention_dtype(kind: str) -> torch.dtype:
    return torch.bfloat16 if kind == "bf16" else torch.float32


def _embedded(embeddings: Checkpoint, ids_t: Tensor, places_t: Tensor) -> Tensor:
    kinds = torch.zeros_like(ids_t)[None]
    rows: Tensor = embeddings(input_ids=ids_t[None], position_ids=places_t[None], token_type_ids=kinds)[0]
    return rows


def _convolution(conv: Checkpoint) -> Callable[[Tensor, Tensor, Layout], Tensor]:
    """Each text by itself: the window must not look into a neighbour."""

    def apply(embedded_tD: Tensor, x_tD: Tensor, layout: Layout) -> Tensor:
        sizes = [*layout.lengths, layout.filling]
        pairs = zip(torch.split(embedded_tD, sizes), torch.split(x_tD, sizes), strict=True)
        done = [conv(own[None], after[None], own.new_ones(1, len(own)))[0] for own, after in pairs if len(own)]
        return torch.cat(done)

    return apply
