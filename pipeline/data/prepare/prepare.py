"""Raw click logs (Criteo days, Avazu, KDD Cup 2012, any schema's TSV or CSV) → Parquet ready to train on.

    python -m pipeline.data.prepare --path /logs/criteo --schema criteo_terabyte --folder /prepared
    python -m pipeline.data.prepare --path train.csv.gz --schema avazu --folder out --numbering vocabulary --min_count 4
    torchx run launch/prepare.py -j 8x1 -- --path s3://logs/criteo --schema criteo_terabyte --folder /shared/prepared

A raw file day_0.tsv.gz becomes day_0-00000.parquet, day_0-00001.parquet and so on, two million rows each (prepared.py
says what is in them). Beside the files lie schema.json with the tables' true sizes, statistics.json, vocabulary/,
quarantine.jsonl with the lines that are not rows, and, last of all, manifest.json with row counts and checksums. If it
is stopped, the same command resumes at the first raw file that is not done, and the results are the same to the byte.

Several replicas, on any machines that see the same folder, each take every n-th file and column. They coordinate only
through the files that are there, so that a lost replica is simply started again.
"""

import dataclasses
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import tyro

from pipeline.data.formats.features import MISSING_INTEGER
from pipeline.data.formats.prepared import file_name
from pipeline.data.prepare.config import PrepareConfig
from pipeline.data.prepare.folder import claim, raw_files, settings_of, target_names
from pipeline.data.prepare.raw_file import FileTask, count_file, index_path, prepare_file, remove_leftovers
from pipeline.data.prepare.statistics import summary
from pipeline.data.prepare.vocabulary import Resources, VocabularySize, database, merge_counts
from pipeline.data.prepare.workers import run_tasks
from pipeline.data.schema import Schema
from pipeline.run.files import atomic_write, read_json, write_json

logger = logging.getLogger("pipeline.data.prepare")  # also when this is the program

Item = TypeVar("Item")

PROCESS_BYTES = 450 * 2**20
"""What a process takes beside DuckDB; measured (DECISIONS.md)."""
MIN_DATABASE_BYTES = 2**28
"""Less makes DuckDB slow."""
POLL_SECONDS = 0.5
"""Between looks for what other replicas have finished."""


class Preparation:
    """One replica's share of the work, and its coordination with the others."""

    def __init__(self, config: PrepareConfig) -> None:
        self.config, self.folder = config, Path(config.folder)
        self.work = self.folder / "work"
        self.schema = Schema.load(config.schema).with_max_rows(config.max_table_rows)
        self.vocabulary = config.numbering == "vocabulary"
        self.files = raw_files(config.path)
        self.names = target_names(self.files)
        self.settings = settings_of(config, self.schema, self.files)
        self._old_failures: set[tuple[float, str]] = set()

    def run(self) -> Path:
        """Everything that is left to do; returns the manifest's path."""
        manifest = self.folder / "manifest.json"
        if not claim(self.folder, self.settings):
            (self.work / "failures" / f"{self.config.replica}.json").unlink(missing_ok=True)
            self._old_failures = self._failures()
            try:
                self._run_stages(manifest)
            except ValueError as error:  # no other replica should wait for this one
                write_json(self.work / "failures" / f"{self.config.replica}.json", [time.time(), str(error)])
                raise
        if not self.config.replica:
            shutil.rmtree(self.work, ignore_errors=True)
        return manifest

    def _run_stages(self, manifest: Path) -> None:
        if self.vocabulary:
            self._count()
            self._merge()
        self._prepare()
        self._count_distinct()
        if not self.config.replica:
            self._finish(manifest)

    def _count(self) -> None:
        """The first of two passes over the own files."""
        processes, threads = self._processes_and_threads()
        database_bytes = int(self.config.memory_gb * 2**30 / processes) - PROCESS_BYTES
        tasks = self._tasks(self.schema)
        todo = [
            (
                task,
                Resources(max(database_bytes, MIN_DATABASE_BYTES), threads, self.work / "spill" / f"count-{task.name}"),
            )
            for task in self._own(tasks)
            if not task.counts.exists()
        ]
        self._run("counted", _count, todo, processes, threads)
        self._wait_for("counts of", [task.counts for task in tasks])

    def _merge(self) -> None:
        """The vocabularies of the own columns, one at a time: DuckDB itself uses all cores."""
        todo = [column for column in self._own(self.schema.categories) if not self._size_path(column).exists()]
        with self._database() as connection:
            for column in todo:
                size = self._merge_column(connection, column)
                logger.info("vocabulary of %s: %d of %d values", column, size.kept, size.seen)
        self._wait_for("vocabularies of", [self._size_path(column) for column in self.schema.categories])

    def _merge_column(self, connection: duckdb.DuckDBPyConnection, column: str) -> VocabularySize:
        """Its size is written last and says that the vocabulary is there."""
        target = self.folder / "vocabulary" / f"{file_name(column)}.parquet"
        index = index_path(self.folder, column)
        for path in (target, index.with_suffix(".keys.npy"), index.with_suffix(".rows.npy")):
            remove_leftovers(path)
        size = merge_counts(
            connection,
            [task.counts for task in self._tasks(self.schema)],
            column=self.schema.categories.index(column),
            whole_numbers=column in (*self.schema.integer_ids, *self.schema.hours),
            min_count=self.config.min_count,
            max_table_rows=self.config.max_table_rows,
            target=target,
            index=index,
        )
        write_json(self._size_path(column), dataclasses.asdict(size))
        return size

    def _prepare(self) -> None:
        """The own files, as they are to be."""
        processes, threads = self._processes_and_threads()
        tasks = self._tasks(self._final_schema())
        todo = [task for task in self._own(tasks) if not task.part.exists()]
        self._run("prepared", prepare_file, todo, processes, threads)
        self._wait_for("files", [task.part for task in tasks])

    def _count_distinct(self) -> None:
        """Distinct values, other than missing, of the own columns in all prepared files."""
        columns = [*self.schema.numbers, *self.schema.categories]
        parts = [read_json(task.part) for task in self._tasks(self.schema)]
        files = [str(self.folder / file["file"]) for part in parts for file in part["files"]]
        with self._database() as connection:
            for column in self._own(columns):
                if not self._distinct_path(column).exists():
                    quoted = '"' + column.replace('"', '""') + '"'
                    value = f"unnest({quoted})" if column in self.schema.lists else quoted
                    values = f"SELECT {value} AS value FROM read_parquet($files)"
                    query = f"SELECT count(DISTINCT value) FROM ({values}) WHERE value <> $missing"
                    missing = MISSING_INTEGER if column in self.schema.numbers else 0
                    ((distinct,),) = connection.execute(query, {"files": files, "missing": missing}).fetchall()
                    write_json(self._distinct_path(column), distinct)
        if not self.config.replica:
            self._wait_for("distinct values of", [self._distinct_path(column) for column in columns])

    def _database(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """For work that is done alone: half of the memory for DuckDB, the rest for what is made of its answers."""
        spill = self.work / "spill" / f"replica-{self.config.replica}"
        return database(Resources(int(self.config.memory_gb * 2**30 / 2), _usable_cores(), spill))

    def _finish(self, manifest: Path) -> None:
        """Adds up what the files' parts say; the manifest comes last."""
        schema = self._final_schema()
        tasks = self._tasks(schema)
        parts = [read_json(task.part) for task in tasks]
        with atomic_write(self.folder / "quarantine.jsonl") as handle:
            for task in tasks:
                with open(task.quarantine, "rb") as lines:
                    shutil.copyfileobj(lines, handle)
        distinct = {name: read_json(self._distinct_path(name)) for name in (*schema.numbers, *schema.categories)}
        seen = {name: size.seen for name, size in self._sizes().items()} if self.vocabulary else {}
        schema.save(self.folder / "schema.json")
        statistics = summary(schema, parts, distinct, seen)
        write_json(self.folder / "statistics.json", statistics)
        for name, places in zip(schema.categories, schema.id_places, strict=True):
            if cut := statistics["columns"][name].get("cut_share"):
                logger.info("%s: the lists of %.3g %% of the rows are cut to %d values", name, 100 * cut, places)
        for leftover in (*self.folder.glob("*.tmp-*"), *self.folder.glob("vocabulary/*.tmp-*")):
            leftover.unlink(missing_ok=True)
        sources = [
            {"source": source, **{key: part[key] for key in ("rows", "quarantined", "files")}}
            for source, part in zip(self.files, parts, strict=True)
        ]
        rows, bad = (sum(part[key] for part in parts) for key in ("rows", "quarantined"))
        write_json(manifest, {"settings": self.settings, "rows": rows, "quarantined": bad, "sources": sources})
        logger.info("%d rows of %d files, %d lines quarantined: %s", rows, len(sources), bad, manifest)

    def _final_schema(self) -> Schema:
        if not self.vocabulary:
            return self.schema
        sizes = self._sizes()
        return dataclasses.replace(
            self.schema, table_sizes=tuple(sizes[column].table_rows for column in self.schema.categories)
        )

    def _sizes(self) -> dict[str, VocabularySize]:
        return {column: VocabularySize(**read_json(self._size_path(column))) for column in self.schema.categories}

    def _tasks(self, schema: Schema) -> list[FileTask]:
        limit = self.config.max_bad_rows
        return [
            FileTask(source, name, self.folder, schema, self.vocabulary, limit)
            for source, name in zip(self.files, self.names, strict=True)
        ]

    def _own(self, all_of_them: Sequence[Item]) -> Sequence[Item]:
        """Assigned to this replica: every n-th."""
        return all_of_them[self.config.replica :: self.config.replicas]

    def _size_path(self, column: str) -> Path:
        return self.work / "sizes" / f"{file_name(column)}.json"

    def _distinct_path(self, column: str) -> Path:
        return self.work / "distinct" / f"{file_name(column)}.json"

    def _processes_and_threads(self) -> tuple[int, int]:
        """(processes, Arrow threads of each): all cores, within the memory."""
        cores = _usable_cores()
        fitting = max(1, int(self.config.memory_gb * 2**30 / (PROCESS_BYTES + MIN_DATABASE_BYTES)))
        processes = self.config.processes or min(cores, len(self._own(self.files)) or 1, fitting)
        return processes, max(1, cores // processes)

    def _run(self, done: str, function: Callable[[Any], str], todo: list[Any], processes: int, threads: int) -> None:
        if not todo:
            return
        started = time.monotonic()
        for number, name in enumerate(run_tasks(function, todo, min(processes, len(todo)), threads), start=1):
            logger.info("%s %s (%d of %d, %.0f s)", done, name, number, len(todo), time.monotonic() - started)

    def _wait_for(self, what: str, paths: Iterable[Path]) -> None:
        """Waits until the other replicas have made theirs; logs every minute what is missing."""
        waiting, logged_at = list(paths), time.monotonic()
        while waiting := [path for path in waiting if not path.exists()]:
            if self.config.replicas == 1:
                raise ValueError(f"{waiting[0]} is gone: somebody else works in the folder; run again")
            for _, reason in self._failures() - self._old_failures:
                raise ValueError(f"another replica stopped: {reason}")
            if time.monotonic() - logged_at > 60:
                logged_at = time.monotonic()
                self._old_failures = set()  # a replica that was to be started again would be there by now
                logger.info("waiting for other replicas: %s %s", what, [path.stem for path in waiting[:5]])
            time.sleep(POLL_SECONDS)

    def _failures(self) -> set[tuple[float, str]]:
        """(when, why) replicas stopped for good, those of earlier runs included."""
        return {tuple(read_json(path)) for path in (self.work / "failures").glob("*.json")}


def prepare(config: PrepareConfig) -> Path:
    """Prepares the click log, or this replica's share of it; returns the manifest's path.

    Bad input is a ValueError that names the file, what was found and what to do.
    """
    return Preparation(config).run()


def _count(task_and_resources: tuple[FileTask, Resources]) -> str:
    return count_file(*task_and_resources)


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main(arguments: list[str]) -> int:
    """The program; returns its exit code. What a user did wrong is one line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("pipeline").setLevel(logging.INFO)
    try:
        prepare(tyro.cli(PrepareConfig, prog="pipeline.data.prepare", description=__doc__, args=arguments))
    except (ValueError, OSError) as error:
        print(f"pipeline.data.prepare: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("pipeline.data.prepare: stopped; the same command resumes from here", file=sys.stderr)
        return 130
    return 0
