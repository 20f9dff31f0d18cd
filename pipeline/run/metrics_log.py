"""One training stage's log: its lines in its metrics.jsonl and its curves for TensorBoard."""

import os

from pipeline.run.files import atomic_write
from pipeline.run.folder import RunFolder
from pipeline.run.records.codec import line_of, read_lines
from pipeline.run.records.progress import MetricsLine


class MetricsLog:
    """One stage's metrics.jsonl, and its curves for TensorBoard."""

    def __init__(self, folder: RunFolder, stage: str, first_step: int) -> None:
        """Open the log at `first_step`: lines behind it, left by a killed run, are dropped."""
        from torch.utils.tensorboard import SummaryWriter  # 0.5 s to import, needed on rank 0 only

        path = folder.metrics(stage)
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line, entry in read_lines(path, MetricsLine, appended=True) if entry.step <= first_step]
        with atomic_write(path, text=True) as file:
            file.writelines(kept)
        self.file = path.open("a", encoding="utf-8")
        self.board = SummaryWriter(str(folder.tensorboard / stage), purge_step=first_step + 1)

    def write(self, line: MetricsLine) -> None:
        """Append one line. It is on disk when this returns.

        Raises OSError naming the file when it cannot be written (disk full); the next start drops a line cut so.
        """
        try:
            self.file.write(line_of(line))
            self.file.flush()
            os.fsync(self.file.fileno())
            for name in ("rows", "train_log_loss", "learning_rate"):
                self.board.add_scalar(name, getattr(line, name), line.step)
        except OSError as error:
            what = f"{error.strerror} while writing; make room on the disk and run the same command again"
            raise OSError(error.errno, what, self.file.name) from error

    def close(self) -> None:
        """Close the files."""
        self.file.close()
        self.board.close()
