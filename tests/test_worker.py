"""The worker: TensorFlow in a child process, and all the ways in which that can end.

Most of it needs no TensorFlow: a package of that name that does nothing stands in for it, so
that a test costs a bare Python's start.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastsm.errors import BackendMissingError, FastsmError, UnsupportedError, UsageError
from fastsm.proof.setting import Setting
from fastsm.proof.worker import CHILD, Failed, Worker

from .conftest import ModelFactory
from .oracle import ROOT

#: A TensorFlow that takes whatever it is told, and has one GPU if a file says so.
STAND_IN = """
    import os

    __version__ = "9.9.9"

    class Anything:
        def __getattr__(self, name):
            return Anything()

        def __call__(self, *args, **kwargs):
            return Anything()

    config = compat = random = Anything()
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a package called tensorflow before the real one, for children of this Python."""
    folder = tmp_path / "site"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(ROOT / "tests")]))

    def put(code: str) -> None:
        package = folder / "tensorflow"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(textwrap.dedent(code))

    put(STAND_IN)
    return put


Hostile = Callable[..., Worker]


@pytest.fixture
def hostile(stand_in: object) -> Iterator[Hostile]:
    """A worker whose jobs are those of tests/hostile.py, without TensorFlow."""
    with contextlib.ExitStack() as stack:

        def made(timeout_s: float | None = 60.0, **setting: Any) -> Worker:
            worker = Worker(Setting(imports=["hostile"], **setting), timeout_s=timeout_s)
            return stack.enter_context(worker)

        yield made


def ended(*pids: int) -> bool:
    """Whether none of the processes is there any more, within some seconds."""
    end = time.monotonic() + 10
    while any(map(_lives, pids)):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # an ended one that nobody waits for is no process
    with contextlib.suppress(OSError):
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    return not Path("/proc/self").exists()


def waited_for(path: Path) -> list[int]:
    end = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not come"
        time.sleep(0.01)
    return [int(word) for word in path.read_text().split()]


# -- settings --------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["", "gpus", "gpu:", "gpu:-1", "gpu:x", "gpu:²", "cpu:0", "GPU"])
def test_a_device_that_is_none_is_refused(device: str) -> None:
    with pytest.raises(UsageError, match="there is no device"):
        Setting(device)


@pytest.mark.parametrize(
    ("device", "allowed", "visible"),
    [
        ("cpu", None, "-1"),
        ("cpu", "0,1", "-1"),
        ("gpu", None, "0"),
        ("gpu:3", None, "3"),
        ("gpu", "5", "5"),
        ("gpu:1", "7,2", "2"),
        ("gpu:1", " GPU-8f3 , MIG-4a/1/0 ", "MIG-4a/1/0"),
        ("auto", "4,5", "4"),
        ("auto", None, "0"),
        # What stands behind one that is none does not count.
        ("auto", "-1", "-1"),
        ("auto", "-1,0", "-1"),
        ("auto", "", "-1"),
    ],
)
def test_the_nth_gpu_is_that_of_the_caller(device: str, allowed: str | None, visible: str) -> None:
    caller = {} if allowed is None else {"CUDA_VISIBLE_DEVICES": allowed}
    assert Setting(device).environment(caller)["CUDA_VISIBLE_DEVICES"] == visible


@pytest.mark.parametrize(
    ("device", "allowed", "n"),
    [("gpu", "", "0 GPUs"), ("gpu", "-1", "0 GPUs"), ("gpu:2", "3,1", "2 GPUs"),
     ("gpu:1", "0,-1,2", "1 GPU")],
)  # fmt: skip
def test_a_gpu_that_the_caller_does_not_allow_is_refused(device: str, allowed: str, n: str) -> None:
    with pytest.raises(UnsupportedError, match=f"no {device}: CUDA_VISIBLE_DEVICES allows {n}"):
        Setting(device).environment({"CUDA_VISIBLE_DEVICES": allowed})


def test_what_is_fixed_is_fixed_whatever_the_caller_has() -> None:
    caller = {
        "TF_ENABLE_ONEDNN_OPTS": "1", "TF_XLA_FLAGS": "--tf_xla_auto_jit=2", "PATH": "/bin",
        "PYTHONWARNINGS": "error", "NVIDIA_TF32_OVERRIDE": "1", "PYTHONHASHSEED": "random",
    }  # fmt: skip
    made = Setting(threads=3).environment(caller)
    assert made["TF_ENABLE_ONEDNN_OPTS"] == made["NVIDIA_TF32_OVERRIDE"] == "0"
    assert made["TF_XLA_FLAGS"] == "" and made["PYTHONWARNINGS"] == "ignore"
    assert made["PYTHONHASHSEED"] == "0" and made["PATH"] == "/bin"
    assert made["OMP_NUM_THREADS"] == "3"


def test_another_interpreter_starts_without_ours(tmp_path: Path) -> None:
    caller = {"PYTHONPATH": "/a", "PYTHONHOME": "/b", "PYTHONSTARTUP": "/c", "HOME": "/d"}
    theirs = Setting(python=tmp_path / "python").environment(caller)
    assert {"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"}.isdisjoint(theirs)
    assert theirs["HOME"] == "/d"
    for same in (None, sys.executable):
        assert Setting(python=same).environment(caller)["PYTHONPATH"] == "/a"


def test_the_words_of_a_setting() -> None:
    about = {"tensorflow": "2.21.0", "device": "cpu", "gpus": []}
    words = "TensorFlow 2.21.0, cpu, 1 thread, seed 0, oneDNN off, TF32 off"
    assert Setting().fixed(about) == words
    gpu = Setting("gpu:1", threads=4, seed=7)
    about = {"tensorflow": "2.21.0", "device": "gpu:1", "gpus": ["NVIDIA \x1b[1mA100"]}
    assert gpu.fixed(about).startswith("TensorFlow 2.21.0, gpu:1 (NVIDIA \\x1b[1mA100), 4 threads,")


# -- interpreters ----------------------------------------------------------------------


def script(path: Path, text: str) -> Path:
    path.write_text(textwrap.dedent(text).lstrip())
    path.chmod(0o755)
    return path


def refused(setting: Setting, kind: type[FastsmError], timeout_s: float = 60.0) -> str:
    """The text of the error when a job is asked for; what there is not to be left is checked."""
    with Worker(setting, timeout_s=timeout_s) as worker:
        folder = worker.folder
        with pytest.raises(kind) as caught:
            worker.ask("about")
        assert worker._child is None
    assert not os.path.exists(folder)
    return str(caught.value)


def test_an_interpreter_that_is_not_there(tmp_path: Path) -> None:
    text = refused(Setting(python=tmp_path / "nowhere" / "python"), UsageError)
    assert text.endswith("python: this interpreter does not run: No such file or directory")
    text = refused(Setting(python="no-such-python"), UsageError)
    assert text == "there is no no-such-python on the PATH"


def test_what_is_no_interpreter(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("print()")
    assert "does not run: Permission denied" in refused(
        Setting(python=tmp_path / "text"), UsageError
    )
    assert "does not run: Permission denied" in refused(Setting(python=tmp_path), UsageError)
    silent = script(tmp_path / "silent", "#!/bin/sh\nexit 0\n")
    assert refused(Setting(python=silent), UsageError).endswith("this is no Python 3 that runs")
    other = script(tmp_path / "other", "#!/bin/sh\necho 'who is asking?' >&2\nexit 3\n")
    assert "It says: who is asking?" in refused(Setting(python=other), UsageError)
    endless = script(tmp_path / "endless", "#!/bin/sh\nwhile :; do echo '{}'; done\n")
    assert "this is no Python 3 that runs" in refused(Setting(python=endless), UsageError)
    sleepy = script(tmp_path / "sleepy", "#!/bin/sh\nsleep 600\n")
    assert "this is no Python 3 that runs" in refused(Setting(python=sleepy), UsageError, 0.2)


def test_a_python_that_is_too_old(tmp_path: Path) -> None:
    old = script(tmp_path / "old", """#!/bin/sh\necho '{"python": "3.9.2"}'\n""")
    assert "this is Python 3.9.2; it takes 3.10 or later" in refused(
        Setting(python=old), UsageError
    )


def test_the_door_of_the_child_can_be_read_by_any_python_3() -> None:
    """An old Python gets as far as to say which it is."""
    import ast

    source = Path(CHILD, "__main__.py").read_text()
    tree = ast.parse(source, feature_version=(3, 4))
    assert "from __future__" not in source and 'f"' not in source
    assert isinstance(tree.body[-1], ast.If)


def test_an_interpreter_without_tensorflow(stand_in: Callable[[str], None]) -> None:
    stand_in("raise ModuleNotFoundError(\"No module named 'tensorflow'\", name='tensorflow')")
    text = refused(Setting(), BackendMissingError)
    assert text.startswith(f"{sys.executable}: TensorFlow is not installed there")
    assert "pip install 'fastsm[tf]'" in text and "--python" in text


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import no_such_module_of_tensorflow", "ModuleNotFoundError: No module named"),
        ("raise RuntimeError('compiled for numpy 1')", "RuntimeError: compiled for numpy 1"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import os; os.write(2, b'no AVX here\\n'); os.abort()", "SIGABRT: no AVX here"),
        ("import os; os._exit(4)", "exit code 4"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "SIGILL"),
    ],
)
def test_a_tensorflow_that_cannot_be_imported(
    code: str, told: str, stand_in: Callable[[str], None]
) -> None:
    stand_in(code)
    text = refused(Setting(), UnsupportedError)
    assert "TensorFlow cannot be imported there: " + told in text


def test_an_import_that_takes_too_long(stand_in: Callable[[str], None]) -> None:
    stand_in("import time; time.sleep(600)")
    text = refused(Setting(), UnsupportedError, timeout_s=1.0)
    assert "TensorFlow cannot be imported there: it takes too long" in text


def test_a_module_and_an_op_library_that_cannot_be_loaded(stand_in: Callable[[str], None]) -> None:
    text = refused(Setting(imports=["no_such_ops"]), UsageError)
    assert "the module no_such_ops cannot be loaded: ModuleNotFoundError" in text
    stand_in(STAND_IN + "    def load_op_library(path):\n        raise OSError(path + ': no')\n")
    text = refused(Setting(op_libraries=["ops.so"]), UsageError)
    assert f"the op library {os.path.abspath('ops.so')} cannot be loaded: OSError" in text


def test_a_site_that_prints_a_greeting(stand_in: object, tmp_path: Path) -> None:
    (tmp_path / "site" / "sitecustomize.py").write_text("print('Welcome!\\n{')")
    with Worker(Setting(imports=["hostile"]), timeout_s=60) as worker:
        assert worker.ask("returns", n=1) == "x"


def test_the_childs_own_modules_shadow_nobodys(hostile: Hostile) -> None:
    seen = hostile().ask("looks_around")
    assert os.path.realpath(CHILD) not in map(os.path.realpath, seen["path"])
    assert {"inputs", "compare", "run", "session"}.isdisjoint(seen["modules"])
    assert not [name for name in seen["modules"] if name.split(".")[0] == "fastsm"]


# -- jobs ------------------------------------------------------------------------------


def test_each_job_is_a_process_of_its_own(hostile: Hostile) -> None:
    worker = hostile()
    assert [worker.ask("counts"), worker.ask("counts")] == [1, 1]
    one, other = worker.ask("looks_around"), worker.ask("looks_around")
    assert one["pid"] != other["pid"] and one["child"] == other["child"]


def test_a_job_finds_an_empty_folder_that_goes(hostile: Hostile, tmp_path: Path) -> None:
    worker = hostile()
    seen = worker.ask("looks_around")
    assert seen["files"] == [] and seen["stdin"] == ""
    assert os.path.dirname(seen["cwd"]) == os.path.realpath(worker.folder)
    assert not os.path.exists(seen["cwd"])
    assert not os.path.exists(worker.ask("writes", name="beside"))
    kept = worker.ask("writes", name=os.path.join(worker.folder, "kept"))
    assert os.path.exists(kept)
    worker.close()
    assert not os.path.exists(kept)


def test_what_a_job_prints_is_no_answer(
    hostile: Hostile, capfd: pytest.CaptureFixture[str]
) -> None:
    assert hostile().ask("prints", n=100_000) == "answer"
    assert capfd.readouterr() == ("", "")


def test_answers_of_any_size_and_kind(hostile: Hostile) -> None:
    worker = hostile()
    for n in (0, (1 << 20) - 12, 1 << 20, 50_000_000):
        assert worker.ask("returns", n=n) == "x" * n
    assert worker.ask("odd") == ["\ud800\x00\n", float("inf"), {"a": None}]


def test_a_question_longer_than_a_pipe(hostile: Hostile) -> None:
    with pytest.raises(Failed) as caught:
        hostile().ask("raises", kind="ValueError", text="x" * 5_000_000)
    assert len(caught.value.text) == 5_000_000
    assert len(caught.value.words()) < 500


def test_a_job_that_raises(hostile: Hostile) -> None:
    worker = hostile()
    for kind, cause in (("ValueError", "other"), ("MemoryError", "memory")):
        with pytest.raises(Failed) as caught:
            worker.ask("raises", kind=kind, text="\x1b[31mred")
        failed = caught.value
        assert (failed.kind, failed.type, failed.text) == ("error", kind, "\x1b[31mred")
        assert failed.cause == cause and "\\x1b[31mred" in failed.words()
    with pytest.raises(Failed) as caught:
        worker.ask("no_json")
    assert caught.value.kind == "abort" and "not JSON serializable" in caught.value.text


def test_a_job_that_ends_its_process(hostile: Hostile) -> None:
    worker = hostile()
    child = worker.ask("looks_around")["child"]
    with pytest.raises(Failed) as caught:
        worker.ask("raises", kind="SystemExit", text="3")
    assert (caught.value.kind, caught.value.type) == ("abort", "exit code 1")
    head = "0000 00:00:1.5 77 tsl/a.cc:52] "
    last = f"E{head}Bad\nF{head}Check failed: a == b (1 vs. 2)\n"
    with pytest.raises(Failed) as caught:
        worker.ask("says_and_aborts", text="noise\n" * 100_000 + last + "*** backtrace ***\n")
    failed = caught.value
    assert (failed.kind, failed.type, failed.cause) == ("abort", "SIGABRT", "crash")
    assert failed.text.endswith(last + "*** backtrace ***\n") and len(failed.text) < 20_000
    words = "ended TensorFlow's process (SIGABRT): Check failed: a == b (1 vs. 2)"
    assert failed.words() == words
    with pytest.raises(Failed) as caught:
        worker.ask("is_killed")
    assert (caught.value.type, caught.value.cause) == ("SIGKILL", "memory")
    assert worker.ask("looks_around")["child"] == child  # which all this did not touch


def test_a_job_that_leaves_a_process_behind(hostile: Hostile, tmp_path: Path) -> None:
    """It holds the pipe that the answer came by: it is waited for no longer than a job is."""
    worker = hostile(timeout_s=2.0)
    with pytest.raises(Failed) as caught:
        worker.ask("leaves_one_behind", pids=str(tmp_path / "pids"))
    assert caught.value.cause == "timeout"
    assert ended(*waited_for(tmp_path / "pids"))
    assert worker.ask("returns", n=2) == "xx"


def test_what_a_job_imports_of_keras_is_there_for_the_next(
    hostile: Hostile, tmp_path: Path
) -> None:
    """And nothing else is: a module of others might start what no fork can use."""
    for name in ("tf_keras", "others"):
        (tmp_path / "site" / f"{name}.py").write_text("")
    worker = hostile()
    assert worker.ask("imports", names=["tf_keras", "others"]) == ["tf_keras", "others"]
    assert worker.ask("imports", names=["tf_keras", "others"]) == ["others"]


# -- GPUs ------------------------------------------------------------------------------


def found(n: int = 0, driver: Any = None, cuda: bool = True) -> dict[str, Any]:
    """What the job "about" finds; ``driver`` if it is not that of n GPUs."""
    driver = driver if driver is not None else {"n": n, "error": 0}
    return {"built_with_cuda": cuda, "gpus": [f"GPU {i}" for i in range(n)], "driver": driver}


@pytest.fixture
def gpus(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Worker]:
    def made(device: str, allowed: str | None, **finds: Any) -> Worker:
        """A worker that finds that, by CUDA_VISIBLE_DEVICES: ``_`` stands for none set."""
        if allowed is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
        seen = {name.removeprefix("_"): answer for name, answer in finds.items()}
        monkeypatch.setenv("FOUND", json.dumps(seen))
        return hostile(device=device)

    return made


@pytest.mark.parametrize("device", ["gpu:1", "auto"])
def test_a_gpu_is_used_and_named(device: str, gpus: Callable[..., Worker]) -> None:
    worker = gpus(device, "2,3", _2=found(1), _3=found(1))
    number = device.removeprefix("gpu:").replace("auto", "0")
    about = worker.about
    assert (about["device"], about["note"], about["gpus"]) == (f"gpu:{number}", None, ["GPU 0"])
    assert about["tensorflow"] == "9.9.9"
    assert f", gpu:{number} (GPU 0), " in worker.setting.fixed(about)
    visible = worker.ask("looks_around")["environment"]["CUDA_VISIBLE_DEVICES"]
    assert visible == ["2", "3"][int(number)]


NO_GPU = [
    ("gpu", None, {"_0": found(cuda=False)}, "TensorFlow 9.9.9 is built without CUDA"),
    ("gpu", None, {"_0": found(driver="libcuda.so.1: no such file")},
     "there is no NVIDIA driver (libcuda.so.1: no such file)"),
    ("gpu", None, {"_0": found(driver={"n": 0, "error": 100}),
                   "_": found(driver={"n": 0, "error": 100})}, "the driver has no GPU"),
    ("gpu", None, {"_0": found(driver={"n": 0, "error": 999}),
                   "_": found(driver={"n": 0, "error": 999})},
     "the driver does not start (error 999)"),
    ("gpu", None, {"_0": found(driver={"n": 1, "error": 0}),
                   "_": found(driver={"n": 1, "error": 0})},
     "TensorFlow cannot load its CUDA libraries"),
    ("gpu:2", None, {"_2": found(driver={"n": 0, "error": 100}), "_": found(2)},
     "TensorFlow sees 2 GPUs (GPU 0, GPU 1)"),
    ("gpu:1", "5,9", {"_9": found(driver={"n": 0, "error": 100}), "_5,9": found(1)},
     "TensorFlow sees 1 GPU (GPU 0)"),
]  # fmt: skip


@pytest.mark.parametrize(("device", "allowed", "finds", "why"), NO_GPU)
def test_why_there_is_no_gpu(
    device: str, allowed: str | None, finds: dict[str, Any], why: str,
    gpus: Callable[..., Worker],
) -> None:  # fmt: skip
    worker = gpus(device, allowed, **finds)
    for _ in range(2):  # it is the same the second time
        with pytest.raises(UnsupportedError) as caught:
            worker.ask("returns", n=1)
        assert str(caught.value).startswith(f"no {device}: {why}\n  ")
    if device == "gpu":
        auto = gpus("auto", allowed, **finds)
        assert auto.ask("returns", n=1) == "x"
        assert (auto.about["device"], auto.about["note"]) == ("cpu", f"no GPU: {why}")


# -- ends ------------------------------------------------------------------------------


def test_a_job_that_takes_too_long_is_ended_with_all_that_it_started(
    hostile: Hostile, tmp_path: Path
) -> None:
    worker = hostile(timeout_s=2.0)
    assert worker.ask("returns", n=1) == "x"
    with pytest.raises(Failed) as caught:
        worker.ask("hangs", pids=str(tmp_path / "pids"))
    assert (caught.value.kind, caught.value.cause) == ("timeout", "timeout")
    assert caught.value.words() == "took too long: no answer in 2 s"
    pids = waited_for(tmp_path / "pids")
    assert len(pids) == 3 and ended(*pids)
    assert worker.ask("returns", n=2) == "xx"  # a new child
    assert worker.ask("looks_around")["child"] not in pids


def test_a_child_that_is_killed(hostile: Hostile) -> None:
    worker = hostile()
    child = worker.ask("looks_around")["child"]
    os.kill(child, signal.SIGKILL)
    assert ended(child)
    assert worker.ask("returns", n=1) == "x"  # between jobs: nobody needs to know
    with pytest.raises(Failed) as caught:
        worker.ask("kills_its_parent")
    assert (caught.value.kind, caught.value.cause) == ("abort", "memory")
    assert worker.ask("returns", n=1) == "x"


def test_close_ends_all_of_it(hostile: Hostile) -> None:
    worker = hostile()
    seen, folder = worker.ask("looks_around"), worker.folder
    worker.close()
    assert ended(seen["child"]) and not os.path.exists(folder)
    worker.close()
    assert worker.ask("returns", n=1) == "x"  # and starts anew


PARENT = """
    import signal, sys
    from fastsm.proof.setting import Setting
    from fastsm.proof.worker import Worker

    # Whoever runs the tests in the background may have it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Worker(Setting(imports=["hostile"])) as worker:
        print(worker.folder, flush=True)
        worker.ask("hangs", pids=sys.argv[1])
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_of_a_parent_that_is_ended(
    how: signal.Signals, stand_in: object, tmp_path: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{os.environ['PYTHONPATH']}{os.pathsep}{ROOT}"}
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), str(tmp_path / "pids")],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as parent:  # fmt: skip
        pids = waited_for(tmp_path / "pids")
        assert parent.stdout is not None
        folder = parent.stdout.readline().strip()
        assert os.path.exists(folder)
        parent.send_signal(how)
        parent.communicate()
    assert ended(*pids)
    end = time.monotonic() + 10
    while os.path.exists(folder) and time.monotonic() < end:
        time.sleep(0.01)
    assert not os.path.exists(folder)


def test_a_parent_with_odd_descriptors_and_signals(stand_in: object, tmp_path: Path) -> None:
    """No standard streams, and ended children that nobody waits for."""
    code = """
        import json, os, signal, sys
        from fastsm.proof.setting import Setting
        from fastsm.proof.worker import Worker, Failed

        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        for fd in (0, 1, 2):
            os.close(fd)
        with Worker(Setting(imports=["hostile"]), timeout_s=60) as worker:
            answer = [worker.ask("returns", n=3)]
            try:
                worker.ask("says_and_aborts", text="so")
            except Failed as failed:
                answer += [failed.type, failed.text]
        with open(sys.argv[1], "w") as f:
            json.dump(answer, f)
    """
    out = tmp_path / "answer"
    environment = {**os.environ, "PYTHONPATH": f"{os.environ['PYTHONPATH']}{os.pathsep}{ROOT}"}
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(out)], env=environment, check=True
    )
    assert json.loads(out.read_text()) == ["xxx", "SIGABRT", "so"]


def test_a_parent_with_many_open_files(stand_in: object) -> None:
    code = """
        import os, resource
        from fastsm.proof.setting import Setting
        from fastsm.proof.worker import Worker

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (2000, most))
        held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
        with Worker(Setting(imports=["hostile"])) as worker:
            assert worker.ask("returns", n=3) == "xxx"
    """
    environment = {**os.environ, "PYTHONPATH": f"{os.environ['PYTHONPATH']}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    subprocess.run(command, env=environment, check=True, timeout=60)


# -- TensorFlow itself -----------------------------------------------------------------


def test_what_there_is(worker: Worker) -> None:
    about = worker.about
    version = importlib.metadata.version("numpy")
    assert about["numpy"] == version and about["python"] == platform.python_version()
    assert re.fullmatch(r"2\.\d+\.\d+.*", about["tensorflow"])
    assert (about["device"], about["gpus"], about["note"]) == ("cpu", [], None)


@pytest.mark.tensorflow
def test_a_setting_is_what_tensorflow_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    with Worker(Setting(threads=3, seed=5, imports=["hostile"])) as worker:
        first, again = (worker.ask("tells_settings") for _ in range(2))
    assert first == again  # the random numbers, too
    assert first["threads"] == [3, 3] and first["devices"] == ["CPU"]
    assert first["soft"] and not first["tf32"] and not first["onednn"]
    config = first["config"]
    assert config["intraOpParallelismThreads"] == config["interOpParallelismThreads"] == 3
    assert config["allowSoftPlacement"] and config["deviceCount"] == {"GPU": 0}
    with Worker(Setting("auto", imports=["hostile"])) as other:
        numbers = other.ask("tells_settings")["numbers"]
        about = other.about
    assert len(numbers) == 3 and not set(numbers) & set(first["numbers"])
    assert (about["note"] is None) == (about["device"] == "gpu:0")


@pytest.mark.tensorflow
def test_a_gpu_that_is_not_there_is_refused() -> None:
    """Where there is one, it is used."""
    with Worker(Setting("gpu")) as worker:
        try:
            about = worker.about
        except UnsupportedError as e:
            assert str(e).startswith("no gpu: ") and "--device cpu" in str(e)
        else:
            assert about["device"] == "gpu:0" and len(about["gpus"]) == 1


@pytest.mark.tensorflow
def test_a_library_of_custom_ops_is_for_every_loader(
    model_copy: ModelFactory, tmp_path: Path
) -> None:
    if (compiler := shutil.which("cc")) is None:
        pytest.skip("no C compiler")
    library = tmp_path / "echo_op.so"
    flags = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    source = str(ROOT / "tests" / "echo_op.c")
    subprocess.run([compiler, "-shared", "-fPIC", *flags, source, "-o", library], check=True)
    path = model_copy("v1_pbtxt")
    file = path / "saved_model.pbtxt"
    file.write_text(file.read_text().replace('op: "Identity"', 'op: "EchoForTest"'))
    with Worker(Setting(op_libraries=[library])) as worker:
        options = {"path": str(path), "tags": ["serve"], "want": {"seed": 0}}
        for loader in ("v2", "v1", "cc"):
            answer = worker.ask("examine", loader=loader, keep=worker.folder, **options)
            sets = answer["calls"]["signature:serving_default"]["sets"]
            assert sets and not any(one["failed"] for one in sets), sets
