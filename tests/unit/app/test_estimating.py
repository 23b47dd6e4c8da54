from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

import pytest

from optimizer.app import recipe_table
from optimizer.app.estimating import RecipeChoice, estimate_recipe
from optimizer.app.settings import Settings
from optimizer.report.json_estimate import estimate_text
from optimizer.workload.job_input import JobInput
from providers.errors import JobError
from providers.offer import PricingModel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from optimizer.report.answers import EstimateAnswer
    from providers.offer import Offer


def said(**values: object) -> JobInput:
    return JobInput.from_mapping({"model": "llama-3.1-8b", "tokens": 1_000_000, "seq_len": 512, **values}, where="test")


@pytest.fixture
def run(market_csv: Path, now: datetime) -> Callable[..., EstimateAnswer]:
    settings = Settings(offers=market_csv, only_offers=True)

    def call(job: JobInput | None = None, **recipe: object) -> EstimateAnswer:
        chosen = RecipeChoice(**{"gpu": "A100-SXM-80GB", **recipe})  # type: ignore[arg-type]
        return estimate_recipe(job or said(), recipe=chosen, settings=settings, now=now)

    return call


def test_the_defaults_are_lora_at_16_bits_on_one_gpu_and_are_listed(run: Callable[..., EstimateAnswer]) -> None:
    answer = run()
    recipe = answer.recipe
    assert (recipe.method, recipe.bits, recipe.sharding, recipe.micro_batch, recipe.grad_accum) == (
        "lora", 16, "none", 1, 16,
    )  # fmt: skip
    assert answer.gpu_count == 1
    lines = answer.job.defaults_used
    for start in ("method = lora", "quantization = 16", "micro-batch = 1", "sharding = none", "global batch = 16"):
        assert sum(line.startswith(start) for line in lines) == 1, start
    assert not [line for line in lines if "searched" in line or "all that make sense" in line or "at most" in line]


@pytest.mark.parametrize(
    ("job", "method", "bits"),
    [
        ({"method": "qlora"}, "qlora", 4),
        ({"method": "lora", "quantization": 4}, "qlora", 4),
        ({"quantization": 8}, "lora", 8),
        ({"method": "dora", "quantization": 4}, "dora", 4),
        ({"method": "full"}, "full", 16),
    ],
)
def test_method_and_width_come_from_the_job(
    run: Callable[..., EstimateAnswer], job: dict[str, object], method: str, bits: int
) -> None:
    recipe = run(said(**job), gpus=8).recipe
    assert (recipe.method, recipe.bits) == (method, bits)


@pytest.mark.parametrize(
    ("job", "recipe", "sharding"),
    [
        ({}, {"gpus": 8}, "ddp"),
        ({"method": "full"}, {"gpus": 8}, "zero3"),
        ({"method": "full"}, {"offload": "cpu"}, "zero3"),
        ({"method": "full"}, {"gpus": 8, "sharding": "FSDP"}, "fsdp"),
    ],
)
def test_work_is_shared_as_usual_unless_said(
    run: Callable[..., EstimateAnswer], job: dict[str, object], recipe: dict[str, object], sharding: str
) -> None:
    assert run(said(**job), **recipe).recipe.sharding == sharding


@pytest.mark.parametrize(
    ("job", "recipe", "shape"),
    [
        ({}, {"micro_batch": 4}, (4, 4, 16)),
        ({}, {"micro_batch": 4, "grad_accum": 2}, (4, 2, 8)),
        ({}, {"grad_accum": 2}, (8, 2, 16)),
        ({}, {"grad_accum": 5}, (1, 5, 5)),
        ({}, {"gpus": 8}, (1, 2, 16)),
        ({}, {"gpus": 4, "micro_batch": 3}, (3, 1, 12)),
        ({}, {"gpus": 8, "nodes": 4}, (1, 1, 32)),
        ({"global_batch": 32}, {"micro_batch": 4}, (4, 8, 32)),
        ({"global_batch": 32}, {"gpus": 4, "grad_accum": 2}, (4, 2, 32)),
    ],
)
def test_the_batch_works_out(
    run: Callable[..., EstimateAnswer], job: dict[str, object], recipe: dict[str, object], shape: tuple[int, int, int]
) -> None:
    answer = run(said(**job), **recipe)
    assert (answer.recipe.micro_batch, answer.recipe.grad_accum, answer.job.global_batch) == shape


def test_the_words_of_the_recipe_reach_it(run: Callable[..., EstimateAnswer]) -> None:
    recipe = run(checkpointing=False, attention="Flash", loss="fused", pure_bf16=True).recipe
    assert (recipe.checkpointing, recipe.attention, recipe.loss, recipe.precision) == (
        "none", "flash", "fused", "bf16-pure",
    )  # fmt: skip
    assert run(checkpointing="selective").recipe.checkpointing == "selective"
    assert run(checkpointing=True, pure_bf16=False).recipe.precision == "bf16-mixed"
    assert run(gpu="t4").recipe.precision == "fp16-mixed"
    assert run(said(stack="unsloth")).recipe.loss == "fused"


@pytest.mark.parametrize(
    ("job", "recipe", "message"),
    [
        ({}, {"gpu": "H100-SXM-81GB"}, "gpu = 'H100-SXM-81GB': a GPU id or alias of the table, such as H100"),
        ({}, {"gpu": None}, "gpu = not given: exactly one GPU"),
        ({"gpu": ["A100-SXM-80GB", "T4-16GB"]}, {"gpu": None}, "exactly one GPU"),
        ({"method": ["lora", "full"]}, {}, "method = .*one method: estimate does not search"),
        ({"quantization": [16, 8]}, {}, "quantization = .*one width"),
        ({}, {"gpus": 0}, "gpus = 0: a whole number from 1 to 1024"),
        ({}, {"nodes": -1}, "nodes = -1"),
        ({}, {"micro_batch": True}, "micro_batch = true"),
        ({}, {"grad_accum": 2.5}, "grad_accum = 2.5"),
        ({}, {"attention": "flashy"}, "attention = 'flashy': one of flash, sdpa, eager"),
        ({}, {"sharding": "zero4"}, "sharding = 'zero4': one of none, ddp, zero1, zero2, zero3, fsdp"),
        ({}, {"checkpointing": "some"}, "checkpointing = 'some': one of none, selective, full"),
        ({"global_batch": 10}, {"micro_batch": 4}, "global_batch = 10: micro-batch 4 x accumulation 2 x 1 GPUs = 8"),
        ({}, {"usd_per_gpu_hour": "free"}, "usd_per_gpu_hour = 'free': dollars from 0 to 10000"),
        ({}, {"usd_per_gpu_hour": float("nan")}, "usd_per_gpu_hour = nan"),
        ({}, {"usd_per_gpu_hour": -1}, "usd_per_gpu_hour = -1"),
        (
            {},
            {"sharding": "ddp"},
            "sharding = 'ddp': makes no sense: ddp spreads work over several GPUs, and there is one: use none",
        ),
        ({}, {"gpu": "T4-16GB", "pure_bf16": True}, "makes no sense: T4-16GB has no bf16 units"),
        ({}, {"gpus": 2, "sharding": "none"}, "makes no sense: 2 GPUs need a way to share"),
        ({"quantization": 8}, {"gpus": 2, "sharding": "fsdp"}, "makes no sense: LLM.int8"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(
    run: Callable[..., EstimateAnswer], job: dict[str, object], recipe: dict[str, object], message: str
) -> None:
    with pytest.raises(JobError, match=message) as caught:
        run(said(**job), **recipe)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_the_flag_at_fault_is_named_with_its_value(run: Callable[..., EstimateAnswer]) -> None:
    for recipe, key, value in (
        ({"gpu": "T4-16GB", "pure_bf16": True}, "pure_bf16", True),
        ({"gpu": "T4-16GB", "attention": "flash"}, "attention", "flash"),
        ({"gpus": 2, "sharding": "zero2", "offload": "nvme"}, "offload", "nvme"),
        ({"gpus": 2, "sharding": "none"}, "sharding", "none"),
    ):
        with pytest.raises(JobError, match="makes no sense: ") as caught:
            run(**recipe)
        assert (caught.value.key, caught.value.value) == (key, value)
    with pytest.raises(JobError, match="makes no sense: ") as caught:
        run(said(optimizer="adamw-8bit", method="full"), offload="cpu")
    assert (caught.value.key, caught.value.value) == ("optimizer", "adamw-8bit")


def test_a_recipe_in_the_job_is_used_and_flags_go_over_it(run: Callable[..., EstimateAnswer]) -> None:
    table = {"gpu": "L4-24GB", "gpus": 8, "micro_batch": 2, "attention": "eager", "usd_per_gpu_hour": "1.25"}
    written = run(said(recipe=table), gpu=None)
    assert (written.gpu.id, written.gpus_per_node, written.recipe.micro_batch) == ("L4-24GB", 8, 2)
    assert (written.recipe.attention, written.usd_per_gpu_hour_nano) == ("eager", 1_250_000_000)
    over = run(said(recipe=table), gpu="T4-16GB", micro_batch=1, attention="sdpa", usd_per_gpu_hour=2)
    assert (over.gpu.id, over.gpus_per_node, over.recipe.micro_batch) == ("T4-16GB", 8, 1)
    assert (over.recipe.attention, over.usd_per_gpu_hour_nano) == ("sdpa", 2_000_000_000)


def test_a_keyword_goes_over_the_recipe_of_a_file(market_csv: Path, now: datetime) -> None:
    call = partial(
        estimate_recipe, said(recipe={"gpu": "L4-24GB", "usd_per_gpu_hour": 1}), recipe=RecipeChoice(), now=now,
        settings=Settings(offers=market_csv, only_offers=True),
    )  # fmt: skip
    assert (call().gpu.id, call().usd_per_gpu_hour_nano) == ("L4-24GB", 1_000_000_000)
    flags = JobInput.from_mapping({"gpu": "T4-16GB", "usd_per_gpu_hour": 3}, where="test")
    over = call(flags=flags)
    assert (over.gpu.id, over.usd_per_gpu_hour_nano) == ("T4-16GB", 3_000_000_000)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"nods": 1}, r"recipe\.nods = 1: unknown key; did you mean nodes\?"),
        ({"model": "x"}, r"recipe\.model = 'x': unknown key; known are gpu, gpus, nodes"),
        ({"gpus": "8"}, r"recipe\.gpus = '8': a whole number"),
        ({"gpus": True}, r"recipe\.gpus = true: a whole number"),
        ({"gpu": 3}, r"recipe\.gpu = 3: a word in quotes"),
        ({"pure_bf16": 1}, r"recipe\.pure_bf16 = 1: true or false"),
        ({"checkpointing": 1}, r"recipe\.checkpointing = 1: true, false, or one of"),
        ({"usd_per_gpu_hour": False}, r"recipe\.usd_per_gpu_hour = false: dollars"),
        ({"sharding": "zero9"}, "sharding = 'zero9': one of none"),
    ],
)
def test_a_wrong_key_of_a_recipe_is_named(
    run: Callable[..., EstimateAnswer], table: dict[str, object], message: str
) -> None:
    with pytest.raises(JobError, match=message):
        run(said(recipe=table))


def test_every_key_of_a_recipe_is_described() -> None:
    assert set(recipe_table._KINDS) == set(recipe_table.KEYS)


def test_loss_and_attention_of_the_job_are_those_of_the_recipe(run: Callable[..., EstimateAnswer]) -> None:
    recipe = run(said(loss="triton", attention="eager")).recipe
    assert (recipe.loss, recipe.attention) == ("triton", "eager")


def test_every_axis_of_the_recipe_is_said_or_listed(run: Callable[..., EstimateAnswer]) -> None:
    starts = (
        "method =", "quantization =", "offload =", "sharding =", "micro-batch =", "gradient accumulation =", "loss =",
        "attention =", "GPUs per node =", "nodes =", "pricing model =", "precision =", "checkpointing =",
        "global batch =",
    )  # fmt: skip
    lines = run().job.defaults_used
    assert [start for start in starts if sum(line.startswith(start) for line in lines) != 1] == []
    all_said = run(
        said(method="lora", quantization=16, pricing_model="on_demand", global_batch=8), offload="none",
        sharding="ddp", micro_batch=1, grad_accum=1, loss="standard", attention="sdpa", gpus=8, nodes=1,
        pure_bf16=False, checkpointing=True,
    ).job.defaults_used  # fmt: skip
    assert [line for line in all_said if line.startswith(starts)] == []
    given = run(usd_per_gpu_hour=1).job.defaults_used
    assert not [line for line in given if line.startswith("pricing model")]


def test_limits_that_an_estimate_does_not_check_are_named(run: Callable[..., EstimateAnswer]) -> None:
    assert run(said(budget=1, max_gpus=8)).notes == ("Limits of a search, not checked here: budget, max_gpus.",)
    assert run().notes == ()


def test_kbit_weights_on_amd_carry_a_note(run: Callable[..., EstimateAnswer]) -> None:
    notes = run(said(method="qlora"), gpu="MI300X-OAM-192GB", usd_per_gpu_hour=2).notes
    assert len(notes) == 1
    assert notes[0].startswith("4-bit weights on MI300X-OAM-192GB: bitsandbytes supports ROCm")


def test_the_gpu_may_stand_in_the_job(run: Callable[..., EstimateAnswer]) -> None:
    assert run(said(gpu="L4-24GB"), gpu=None).gpu.id == "L4-24GB"


def test_the_price_is_the_cheapest_offer_of_exactly_that_machine(run: Callable[..., EstimateAnswer]) -> None:
    answer = run(gpu="H100-SXM-80GB")
    assert answer.price_from == "offer"
    assert answer.offer is not None
    assert (answer.offer.instance_type, answer.offer.variant) == ("made-up-h100", "community")
    assert answer.usd_per_gpu_hour_nano == 2_500_000_000
    assert answer.quote is not None
    # Whole hours are billed there: two and a half dollars each.
    assert answer.quote.billed_s % 3_600 == 0
    assert answer.quote.expected_usd_micro == answer.quote.billed_s // 3_600 * 2_500_000
    assert run(gpu="H100-SXM-80GB", gpus=8).usd_per_gpu_hour_nano == 3_000_000_000


def test_spot_is_used_when_asked_for_only(run: Callable[..., EstimateAnswer]) -> None:
    on_demand, spot = run(gpus=8).offer, run(said(pricing_model="spot"), gpus=8).offer
    assert on_demand is not None
    assert spot is not None
    assert (on_demand.pricing_model, spot.pricing_model) == (PricingModel.ON_DEMAND, PricingModel.SPOT)


def test_without_an_offer_the_cost_is_unknown_and_said_so(run: Callable[..., EstimateAnswer]) -> None:
    answer = run(gpus=2)
    assert (answer.price_from, answer.offer, answer.quote, answer.usd_per_gpu_hour_nano) == (
        "unknown",
        None,
        None,
        None,
    )
    assert answer.notes == (
        "No offer that the job allows is a machine with 2 x A100-SXM-80GB; there are machines with 1, 8.",
    )
    document = json.loads(estimate_text(answer))
    assert document["cost_usd_micro"] is None
    assert document["components"] == []
    assert document["price"] == {"from": "unknown", "offer": None, "usd_per_gpu_hour_nano": None}
    assert run(said(provider="cirrus")).price_from == "unknown"
    assert run(said(region="mars-1")).price_from == "unknown"
    assert run(said(max_price_age="2d")).price_from == "unknown"
    assert run(said(max_price_age="9d")).price_from == "offer"


def test_a_given_price_is_billed_by_the_second_and_nothing_beside(run: Callable[..., EstimateAnswer]) -> None:
    answer = run(said(setup_minutes=0), gpus=8, usd_per_gpu_hour="0.26")
    assert (answer.price_from, answer.offer, answer.snapshot) == ("given", None, None)
    assert answer.usd_per_gpu_hour_nano == 260_000_000
    assert answer.quote is not None
    exact = Decimal(answer.quote.billed_s) * 8 * Decimal("0.26") / 3600
    assert answer.quote.expected_usd_micro == int((exact * 1_000_000).to_integral_value())
    assert run(said(usd_per_gpu_hour=0.26), gpus=8).usd_per_gpu_hour_nano == 260_000_000
    free = run(usd_per_gpu_hour=0).quote
    assert free is not None
    assert free.expected_usd_micro == 0


def test_an_estimate_needs_no_price(store_of: Callable[..., object], now: datetime) -> None:
    answer = estimate_recipe(
        said(), recipe=RecipeChoice(gpu="T4-16GB"), store=store_of(), settings=Settings(), now=now,  # type: ignore[arg-type]
    )  # fmt: skip
    assert answer.price_from == "unknown"
    assert answer.snapshot is None
    assert answer.notes == ("No offer that the job allows is a machine with 1 x T4-16GB.",)


def test_a_listed_price_of_zero_or_an_excluded_offer_is_no_price(
    store_of: Callable[..., object], offer_of: Callable[..., Offer], now: datetime
) -> None:
    gift, slice_, real = (
        offer_of(unit_price_nano=0),
        offer_of(instance_type="b", flags=("fractional",), unit_price_nano=1),
        offer_of(instance_type="c"),
    )
    call = partial(estimate_recipe, said(), recipe=RecipeChoice(gpu="H100-SXM-80GB"), settings=Settings(), now=now)
    assert call(store=store_of(gift, slice_)).price_from == "unknown"
    assert call(store=store_of(gift, slice_, real)).offer == real


def test_too_little_memory_of_the_node_is_said(run: Callable[..., EstimateAnswer]) -> None:
    tight = run(said(model="llama-3.1-70b", method="full"), gpu="T4-16GB", offload="cpu", micro_batch=1)
    assert tight.host_fits is False
    assert tight.notes[-1].startswith("The node needs up to ")
    assert tight.notes[-1].endswith(" of its own memory, and invented.t4 has 16.0 GiB.")
    unknown = run(said(method="full"), gpu="T4-16GB", offload="cpu", usd_per_gpu_hour=1)
    assert unknown.host_fits is None
    assert unknown.notes[-1].endswith("how much it has is unknown.")


def test_fit_is_judged_by_the_larger_requirement(run: Callable[..., EstimateAnswer]) -> None:
    roomy, tight = run(said(method="qlora")), run(said(method="full"), gpu="T4-16GB")
    assert (roomy.fits, roomy.fits_expected) == (True, True)
    assert (tight.fits, tight.fits_expected) == (False, False)


def test_a_deadline_has_a_probability(run: Callable[..., EstimateAnswer]) -> None:
    assert run().finish_probability_ppm is None
    probability = [run(said(deadline=span)).finish_probability_ppm for span in ("1m", "30m", "30d")]
    assert probability[0] == 0
    assert probability[2] == 1_000_000
    answer = run(said(deadline="30d"))
    assert answer.job.deadline_at == answer.made_at + timedelta(days=30)


def test_a_dataset_brings_padding_and_packing_takes_it_away(run: Callable[..., EstimateAnswer], tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text("".join(json.dumps({"text": "word " * count}) + "\n" for count in range(10, 400, 5)))
    padded = run(said(tokens=None, dataset=str(file), seq_len=512), micro_batch=8).recipe
    alone = run(said(tokens=None, dataset=str(file), seq_len=512), micro_batch=1).recipe
    packed = run(said(tokens=None, dataset=str(file), seq_len=512, packing=True), micro_batch=8).recipe
    assert padded.padding_factor > alone.padding_factor >= 1.0
    assert (padded.variable_length, packed.variable_length, packed.padding_factor) == (True, False, 1.0)


def test_without_an_amount_time_and_cost_are_those_of_a_million_tokens(run: Callable[..., EstimateAnswer]) -> None:
    model_only = JobInput.from_mapping({"model": "llama-3.1-8b", "seq_len": 512}, where="test")
    unsaid, stated = run(model_only), run(said())
    assert unsaid.job.tokens == 1_000_000
    assert unsaid.job.defaults_used[0].startswith("tokens = 1,000,000 (assumed: no amount of data was said")
    assert unsaid.memory == stated.memory
    assert unsaid.duration_s == stated.duration_s


def test_half_an_amount_is_still_a_mistake(run: Callable[..., EstimateAnswer]) -> None:
    with pytest.raises(JobError, match="tokens_per_sample"):
        run(JobInput.from_mapping({"model": "llama-3.1-8b", "samples": 10}, where="test"))
    with pytest.raises(JobError, match=r"prompt_tokens|pairs"):
        run(JobInput.from_mapping({"model": "llama-3.1-8b", "objective": "dpo"}, where="test"))
