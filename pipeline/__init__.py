"""The stages of a run: click logs in; a searched model, its ReRAM mapping, a TorchScript file and a report out.

The files on this level are the commands: `chain` runs `train`, `search`, `retrain`, `codesign`, `export` and the report
one after the other, and is the only one that imports the others. What a row passes on its way from a file to the loss:

    data/formats/        text, Parquet or prepared files -> columns       (data/storage/ opens local and remote ones)
    data/stream/         columns -> batches: this rank's share of the rows, shuffled, read ahead, with a position to
                         resume from
    data/batch.py        Batch: dense [B, I], ids as a KeyedJaggedTensor, label [B]
    training/table_pipeline.py   looks the ids up in TorchRec's sharded tables -> embedded [B, F, D]
    training/supernet.py         draws the step's sub-networks (training/standalone.py: the whole network)
    training/loop.py             forward, log loss, backward, clipping, update; then the tables' backward and update
    run/metrics_log.py           the mean loss -> metrics.jsonl;   run/checkpoint.py: a checkpoint every so many steps

Beside these: `config.py` (all settings), `session.py` (what every command opens), `run/records/` (what each file of a
run holds), `search/` (strategies and scoring), `serving/` (the exported model), `report/` (the HTML page).
"""

import os

# Before torch loads OpenMP: its threads sleep while they wait for one another. By default they spin, which makes a step
# on two cores that are shared with other work cost up to 15 times the CPU-seconds (DECISIONS.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
