from __future__ import annotations

import math
from collections import Counter

from optimizer.measure.speed_fit import tabulate_runs
from optimizer.measure.speed_table import fitted_runs, load_speed_table, parse_speed_table
from optimizer.physics.axes import Sharding, Stack, Tuning
from optimizer.physics.recipe import refusal
from providers.gpus import load_gpus

HEADER = (
    "source,date,group,family,model,gpu,gpu_count,nodes,network_gbytes_per_s,stack,tuning,bits,precision,lora_rank,"
    "target_modules,modules_to_save,optimizer,loss,attention,checkpointing,compiled,fused_kernels,kbit_preparation,"
    "double_quant,sharding,offload,micro_batch,grad_accum,seq_len,row_tokens,variable_length,packing,"
    "tokens_per_s_per_gpu,unfitted,note"
)
ROW = (
    "paper,2024-01-10,paper,Llama-2,Llama-2-7b-hf,A100-SXM-80GB,8,2,50,hf,lora,4,bf16-mixed,8,q_proj;v_proj,,adamw,"
    "standard,flash,full,0,1,0,1,ddp,none,4,2,1024,310.5,1,0,1000,why,a note"
)


def test_a_row_becomes_a_run_with_units_of_the_product():
    (row,) = parse_speed_table([HEADER, ROW])
    run = row.run
    assert (run.gpus, run.network_bytes_per_s, run.readings.tokens_per_s) == (16, 50e9, 16_000.0)
    recipe = run.recipe
    assert (recipe.tuning, recipe.bits, recipe.sharding) == (Tuning.LORA, 4, Sharding.DDP)
    assert recipe.target_modules == ("q_proj", "v_proj")
    assert recipe.kbit_preparation is False
    assert recipe.row_tokens == 310.5
    assert recipe.variable_length
    assert not recipe.packing
    assert recipe.fused_kernels
    assert recipe.stack_known
    assert (row.family, row.unfitted, row.note) == ("Llama-2", "why", "a note")
    assert fitted_runs([row]) == ()


def test_what_a_row_leaves_open_is_none_not_zero():
    bare = ROW.replace(",8,2,50,hf", ",8,1,,hf").replace(",0,1,0,1,ddp", ",0,1,,1,ddp").replace(",310.5,", ",,")
    (row,) = parse_speed_table([HEADER, bare])
    assert row.run.network_bytes_per_s is None
    assert row.run.recipe.kbit_preparation is None
    assert row.run.recipe.row_tokens is None


def test_the_shipped_table_names_source_and_date_of_every_row():
    table = load_speed_table()
    assert 250 <= len(table) <= 350
    for row in table:
        assert row.run.source
        assert len(row.run.made_at) == 10
        assert row.run.readings.tokens_per_s
        assert row.run.readings.tokens_per_s > 0


def test_no_source_of_the_shipped_table_carries_it():
    sizes = Counter(row.run.group for row in load_speed_table())
    assert len(sizes) >= 10
    assert max(sizes.values()) <= 110


def test_rows_kept_out_of_the_fit_say_why():
    kept_out = [row.unfitted for row in load_speed_table() if row.unfitted]
    assert 0 < len(kept_out) < 15
    assert all(len(why) > 10 for why in kept_out)


def test_every_run_of_the_shipped_table_makes_sense_and_can_be_evaluated():
    gpus = load_gpus()
    runs = [row.run for row in load_speed_table()]
    for run in runs:
        assert refusal(run.recipe, gpu=gpus.by_id[run.gpu or ""], gpus=run.gpus) is None, run
    assert tabulate_runs(runs).count == len(runs)


def test_the_shipped_table_covers_stacks_methods_and_cards():
    runs = [row.run for row in load_speed_table()]
    assert {run.recipe.stack for run in runs} == set(Stack) - {Stack.LITGPT}
    assert {(run.recipe.tuning.value, run.recipe.bits) for run in runs} == {("full", 16), ("lora", 16), ("lora", 4)}
    assert len({run.gpu for run in runs}) >= 9
    lengths = [run.recipe.seq_len for run in runs]
    assert (min(lengths), max(lengths)) == (256, 65_536)
    assert not any(math.isnan(run.readings.tokens_per_s or 0.0) for run in runs)
