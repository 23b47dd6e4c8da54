"""Every row of the model table against the invariants that all models share, and the published counts."""

from __future__ import annotations

import pytest

from optimizer.workload.models import LAYOUTS, ModelSpec, load_models

MODELS = load_models()
ROUNDED_OR_EXPLAINED = {
    "facebook/opt-66b",
    "ibm-granite/granite-3.0-1b-a400m-instruct",
    "ibm-granite/granite-3.0-3b-a800m-instruct",
    "ibm/PowerLM-3b",
    "internlm/internlm-7b",
    "moonshotai/Kimi-K2-Instruct",
    "moonshotai/Moonlight-16B-A3B",
}
ROWS = [pytest.param(MODELS.by_name[name], id=name) for name in MODELS.names()]


@pytest.mark.parametrize("model", ROWS)
def test_the_computed_count_is_the_published_one(model: ModelSpec) -> None:
    assert model.published_params is not None
    assert model.total_params == pytest.approx(model.published_params, rel=0.005)


def test_the_count_is_exact_but_for_the_rows_that_docs_models_explains() -> None:
    off = {name for name, model in MODELS.by_name.items() if model.total_params != model.published_params}
    assert off == ROUNDED_OR_EXPLAINED


@pytest.mark.parametrize("model", ROWS)
def test_roles_sum_to_the_total(model: ModelSpec) -> None:
    parts = (model.linear_params, model.embedding_params, model.head_params, model.other_params)
    assert all(part >= 0 for part in parts)
    assert sum(parts) == model.total_params
    assert (model.head_params == 0) == model.tied_embeddings


@pytest.mark.parametrize("model", ROWS)
def test_active_parameters_are_fewer_only_with_experts(model: ModelSpec) -> None:
    assert 0 < model.active_params <= model.total_params
    assert (model.active_params < model.total_params) == (model.moe_experts > 0)
    assert (model.active_linear_params < model.linear_params) == (model.moe_experts > 0)
    assert model.total_params / model.layers * 0.5 < model.block_params < model.total_params


@pytest.mark.parametrize("model", ROWS)
def test_modules_fit_together(model: ModelSpec) -> None:
    for module in model.linear_modules():
        assert module.in_features > 0
        assert module.out_features > 0
        assert 0 < module.active_count <= module.count
        assert module.count % max(1, model.moe_layers if module.role != "attention" else model.layers) == 0 or (
            module.role == "mlp"
        )
    leaving = [m for m in model.linear_modules() if m.role == "attention"][-1]
    assert leaving.out_features == model.hidden


@pytest.mark.parametrize("model", ROWS)
def test_adapters_grow_linearly_with_rank(model: ModelSpec) -> None:
    one, eight = model.adapter(1, ("all-linear",)), model.adapter(8, ("all-linear",))
    assert eight.params == 8 * one.params
    assert eight.magnitude_params == one.magnitude_params
    assert one.inputs_per_block > 0
    # An adapter may be aimed at every name that is listed.
    every = model.adapter(1, model.module_names())
    assert every.params >= one.params
    assert every.trains_embeddings


@pytest.mark.parametrize("model", ROWS)
def test_every_figure_says_where_it_comes_from(model: ModelSpec) -> None:
    assert model.source
    assert model.context >= 1024


def test_every_layout_that_the_table_uses_is_known() -> None:
    assert {model.layout.family for model in MODELS.by_name.values()} <= set(LAYOUTS)
    assert all(family == layout.family for family, layout in LAYOUTS.items())


def test_every_alias_leads_to_its_model() -> None:
    for alias, canonical in MODELS.aliases.items():
        assert alias == alias.lower()
        assert MODELS.resolve(alias) is MODELS.by_name[canonical]
        assert MODELS.resolve(alias.upper()) is MODELS.by_name[canonical]
