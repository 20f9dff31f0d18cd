"""`torchx run FILE.py`: the `run` command of TorchX, overridden through the entry-point group `torchx.cli.cmds`.

Five things differ from TorchX's own command; builtins, `FILE.py:FUNCTION`, schedulers and options are as they were.

* `FILE.py` stands for `FILE.py:FILE`: a component file holds a function of its own name.
* A local app of one replica writes to the terminal itself. TorchX would send its output through log files and print it
  with a prefix, which spoils progress bars, colours and the two streams. (`-cfg log_dir=…` asks for the files, and
  gets them.)
* The components are told the scheduler (`launch.program.SCHEDULER`), so that what they ask for follows from it.
* The first and the last words of a local app name the folder of its run, and the report where there is one: TorchX's
  handle of a local app is known to no other process, `torchx status` included.
* Ctrl-C stops the app and ends with the usual status 130, and a user's mistake is one line instead of a traceback.
"""

import argparse
import logging
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torchx.cli.cmd_run import CmdRun
from torchx.runner import Runner
from torchx.runner.config import load_sections
from torchx.schedulers import get_scheduler_factories
from torchx.schedulers.local_scheduler import PopenRequest, ReplicaParam, SignalException
from torchx.specs import AppDef, AppDryRunInfo, AppHandle, AppState, CfgVal, make_app_handle

from launch.program import RUN_FOLDER, SCHEDULER

logger = logging.getLogger(__name__)

ARGPARSE_ERROR = 2
"""The status argparse leaves with after a wrong command line."""

ORDER = "torchx run -s slurm --dryrun FILE.py -j 1x2 -- --run NAME"
"""Where which option belongs."""


def with_function(component_and_args: Sequence[str]) -> list[str]:
    """Completes the component of a command line: a file without a function means the function of the file's name.

    >>> with_function(["launch/search.py", "-j", "1x2", "--", "--data.path", "other.py"])
    ['launch/search.py:search', '-j', '1x2', '--', '--data.path', 'other.py']
    >>> with_function(["utils.echo", "--msg", "a.py"])
    ['utils.echo', '--msg', 'a.py']

    Raises:
        ValueError: the file is not there.
    """
    args = list(component_and_args)
    first = 1 if args[:1] == ["--"] else 0
    component = args[first] if len(args) > first else ""
    if component.startswith("-") or not component.partition(":")[0].endswith(".py"):
        return args
    file, _, function = component.partition(":")
    if not Path(file).is_file():
        raise ValueError(f"no component file {file} in {Path.cwd()}; `ls launch/*.py` lists this project's")
    args[first] = f"{file}:{function or Path(file).stem}"
    return args


class LocalHandle(str):
    """The handle of a local app, which TorchX prints: as the folder of its run, where the app has one."""

    folder: Path | None = None

    def __str__(self) -> str:
        return f"run        {self.folder}" if self.folder else super().__str__()

    def last_words(self) -> str:
        """Where the run is, and its report if there is one."""
        if self.folder is None:
            return ""
        report = self.folder / "report.html"
        return f"run        {self.folder}" + (f"; report {report}" if report.is_file() else "")


class TerminalRunner(Runner):
    """A TorchX runner whose local apps of one replica write straight to the terminal."""

    def __init__(self, keep_log_files: bool) -> None:
        """`keep_log_files`: leave the output to TorchX's log files and prefixes, as the user asked."""
        super().__init__("torchx", get_scheduler_factories(), load_sections(prefix="component"))
        self._keep_log_files = keep_log_files
        self._held: dict[AppHandle, AppDryRunInfo[Any]] = {}

    def dryrun(
        self,
        app: AppDef,
        scheduler: str,
        cfg: Mapping[str, CfgVal] | None = None,
        workspace: str | None = None,
        parent_run_id: str | None = None,
    ) -> AppDryRunInfo[Any]:
        """TorchX's request; for a local app of one replica without the files that would take its output away.

        Raises:
            ValueError: the app wants GPUs on a machine without an NVIDIA driver (TorchX would crash counting them).
        """
        gpus = sum(role.num_replicas * role.resource.gpu for role in app.roles)
        if scheduler == "local_cwd" and gpus > 0 and shutil.which("nvidia-smi") is None:
            raise ValueError(
                f"--gpu asks for {gpus} GPUs; this machine has no nvidia-smi to find them with: use --gpu 0"
            )
        info = super().dryrun(app, scheduler, cfg, workspace, parent_run_id)
        replica = self._lone_replica(info)
        if replica is not None:
            replica.stdout = replica.stderr = replica.combined = None
            if "CUDA_VISIBLE_DEVICES" in os.environ:  # TorchX divides the GPUs of the machine: the user's choice stands
                replica.env["CUDA_VISIBLE_DEVICES"] = os.environ["CUDA_VISIBLE_DEVICES"]
        return info

    def schedule(self, dryrun_info: AppDryRunInfo[Any]) -> AppHandle:
        """Starts the app. One that will write to the terminal is held until `start`: TorchX prints the handle first."""
        if self._lone_replica(dryrun_info) is None:
            started = super().schedule(dryrun_info)
            if not started.startswith("local"):
                return started
            handle = LocalHandle(started)
            handle.folder = _run_folder(dryrun_info)
            return handle
        handle = LocalHandle(make_app_handle("local_cwd", self._name, dryrun_info.request.app_id))
        handle.folder = _run_folder(dryrun_info)
        self._held[handle] = dryrun_info
        return handle

    def start(self, app_handle: AppHandle) -> bool:
        """Starts a held app; False where there is none, since the app runs already."""
        held = self._held.pop(app_handle, None)
        if held is not None:
            sys.stdout.flush()
            super().schedule(held)
        return held is not None

    def _lone_replica(self, info: AppDryRunInfo[Any]) -> ReplicaParam | None:
        request = info.request
        if self._keep_log_files or not isinstance(request, PopenRequest):
            return None
        replicas = [replica for role in request.role_params.values() for replica in role]
        return replicas[0] if len(replicas) == 1 else None


def _run_folder(info: AppDryRunInfo[Any]) -> Path | None:
    """Where the app's run is: this project's components say so; others have none."""
    app = info._app
    folders = [role.metadata.get(RUN_FOLDER) for role in app.roles] if app is not None else []
    return Path(str(folders[0])) if folders and folders[0] else None


class CmdRunFile(CmdRun):
    """`torchx run` as described at the top of this file."""

    def run(self, args: argparse.Namespace) -> None:
        """Runs what the command line asks for; leaves with a status other than 0 when it fails or is stopped."""
        os.environ.setdefault("TORCHX_CONTEXT_NAME", "cli_run")
        os.environ[SCHEDULER] = args.scheduler
        with TerminalRunner(keep_log_files="log_dir" in (args.scheduler_args or "")) as runner:
            try:
                args.component_name_and_args = with_function(args.component_name_and_args)
                self._run(runner, args)
            except SignalException as stop:
                for also in (signal.SIGINT, signal.SIGTERM):  # leaving `with` stops the app: let nothing cut that short
                    signal.signal(also, signal.SIG_IGN)
                logger.warning("stopping the app (%s)", stop.sigval.name)
                sys.exit(128 + stop.sigval)
            except ModuleNotFoundError as missing:
                logger.error(
                    "%s (a scheduler's own client comes with: pip install 'torchx[%s]')", missing, args.scheduler
                )
                sys.exit(2)
            except ValueError as error:
                logger.debug("the whole story:", exc_info=True)
                logger.error("%s", error)
                sys.exit(2)
            except SystemExit as leave:
                if leave.code == ARGPARSE_ERROR and "--" not in args.component_name_and_args:
                    logger.error("TorchX's options go first, the program's after `--`: %s", ORDER)
                raise

    def _wait_and_exit(self, runner: Runner, app_handle: AppHandle, log: bool) -> None:
        """Waits for the app: TorchX's way, but for apps on the terminal, which have said everything themselves."""
        assert isinstance(runner, TerminalRunner)
        is_held = runner.start(app_handle)
        if not is_held:
            super()._wait_and_exit(runner, app_handle, log)
        status = runner.wait(app_handle, wait_interval=0.2) if is_held else None
        where = app_handle.last_words() if isinstance(app_handle, LocalHandle) else ""
        if is_held and (status is None or status.state != AppState.SUCCEEDED):
            logger.error("failed; its last words are above%s", f". {where}" if where else "")
            sys.exit(1)
        if where:
            print(where, flush=True)
