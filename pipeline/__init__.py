"""The programs of a run: click logs in, a found model, its ReRAM mapping and a report out.

Each program is a file of this folder (train, search, retrain, trees, codesign, export, report, and chain, which runs
them in turn); what they share lies in the folders: run/ (records, checkpoints, processes), data/, training/, search/,
serving/.

The way of a row from its file to its loss:

    a file of a click log
      │  data/                                a row group or a block of lines → decoded rows → shuffled batches
      │                                       (data/__init__.py draws this part)
      ▼
    data/batch.py: Batch(dense [B, I], sparse ids of F fields, label [B])
      │  training/loop.py: train              takes the next batch of its Stream, through
      │  training/table_pipeline.py           which copies it to the device and looks its ids up, ahead of time on CUDA
      │    modules/embeddings.py: embed       in TorchRec's sharded tables
      ▼
    dense [B, I] and embedded [B, F, D]
      │  training/loop.py: dense_step         runs the network that this step trains, from training/trainee.py:
      │    modules/supernet/                  a sub-network of the supernet, or one that stands alone
      ▼
    logit [B]
      │  training/loop.py: dense_step         binary cross-entropy with the labels, backward, clipping, the dense update
      │  training/table_pipeline.py           sends the gradient of embedded back into the tables, which update
      ▼
    mean log loss                             which the loop writes into the run's metrics (run/)
"""

import os

# Before torch loads OpenMP: its threads sleep while they wait for one another. By default they spin, which makes a step
# on two cores that are shared with other work cost up to 15 times the CPU-seconds (DECISIONS.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
