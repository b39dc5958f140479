"""What the names that a pickle imports mean: known to run code, known to be harmless, or unknown.

A name is harmless only by exact match or as an estimator class that scikit-learn itself defines; a module prefix would admit whatever
that module has imported.
"""

from __future__ import annotations

import _compat_pickle
from enum import StrEnum

from rai_pipelines.subjects.model_formats import TRUSTED_TYPES, is_sklearn_estimator


class Meaning(StrEnum):
    """What importing and calling a name can do."""

    HARMLESS = "harmless"
    UNKNOWN = "unknown"
    DANGEROUS = "dangerous"


def meaning_of(module: str, name: str) -> Meaning:
    """What the global `module.name` of a pickle means.

    Names are also read the way protocols 0 to 2 do, where `__builtin__` is `builtins` and `commands` is `subprocess`.
    """
    readings = {(module, name), _python3_name(module, name)}
    if any(_is_dangerous(*reading) for reading in readings):
        return Meaning.DANGEROUS
    if any(_is_harmless(*reading) for reading in readings):
        return Meaning.HARMLESS
    return Meaning.UNKNOWN


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


DANGEROUS_MODULES = _names(
    """
    os posix nt subprocess sys shutil socket _socket ssl _ssl ctypes _ctypes importlib _frozen_importlib _frozen_importlib_external imp
    runpy pty code codeop bdb pdb cProfile profile timeit trace webbrowser multiprocessing _multiprocessing _posixsubprocess asyncio pickle
    _pickle marshal shelve dill requests urllib urllib2 urllib3 http httplib httpx aiohttp smtplib ftplib telnetlib imaplib poplib nntplib
    xmlrpc socketserver pip ensurepip venv pydoc pkgutil signal threading _thread concurrent site sysconfig zipimport gc inspect commands
    popen2 mmap fcntl resource distutils setuptools pexpect paramiko fabric sh invoke test lib2to3 idlelib uuid _osx_support _aix_support
    _pyrepl faulthandler atexit weakref
    """
)
DANGEROUS_SUBMODULES = (
    "numpy.f2py",
    "numpy.testing",
    "numpy.distutils",
    "numpy.ctypeslib",
    "sklearn.utils._testing",
    "sklearn.externals",
    "torch.hub",
)
DANGEROUS_NAMES = {
    "builtins": _names(
        """
        eval exec compile open getattr setattr delattr __import__ input breakpoint globals locals vars apply execfile reload file help exit
        quit
        """
    ),
    "io": frozenset({"open", "FileIO", "open_code"}),
    "_io": frozenset({"open", "FileIO", "open_code"}),
    "operator": frozenset({"attrgetter", "methodcaller", "itemgetter"}),
    "_operator": frozenset({"attrgetter", "methodcaller", "itemgetter"}),
    "functools": frozenset({"partial", "reduce"}),
    "types": frozenset({"CodeType", "FunctionType", "LambdaType", "MethodType", "ModuleType"}),
    "joblib": frozenset({"load"}),
    "joblib.numpy_pickle": frozenset({"load"}),
    "numpy": _names(
        """
        load fromfile save savez savetxt genfromtxt loadtxt memmap
        """
    ),
    "pandas": frozenset({"read_pickle", "eval"}),
    "pandas.io.pickle": frozenset({"read_pickle"}),
    "torch": frozenset({"load"}),
    "torch.serialization": frozenset({"load"}),
    "logging": frozenset({"FileHandler"}),
    "logging.config": frozenset({"dictConfig", "fileConfig", "listen"}),
    "tempfile": frozenset({"NamedTemporaryFile", "mkstemp", "mkdtemp"}),
}
# whatever the module: these are re-exported under many names
DANGEROUS_LEAVES = _names(
    """
    system popen Popen check_output check_call getoutput getstatusoutput eval exec execfile execv execve spawn __import__ import_module
    runstring exec_command exec_module __globals__ __builtins__ __subclasses__ __code__ __reduce__ __getattribute__
    """
)
HARMLESS = TRUSTED_TYPES | _names(
    """
    builtins.bool builtins.bytearray builtins.bytes builtins.complex builtins.dict builtins.float builtins.frozenset builtins.int
    builtins.list builtins.object builtins.range builtins.set builtins.slice builtins.str builtins.tuple _codecs.encode
    copyreg._reconstructor joblib.numpy_pickle.NumpyArrayWrapper numpy.dtype numpy.ndarray numpy.core.multiarray._reconstruct
    numpy.core.multiarray.scalar numpy._core.multiarray._reconstruct numpy._core.multiarray.scalar numpy._core.numeric._frombuffer
    numpy.core.numeric._frombuffer numpy.bool numpy.bool_ numpy.float16 numpy.float32 numpy.float64 numpy.int8 numpy.int16 numpy.int32
    numpy.int64 numpy.uint8 numpy.uint16 numpy.uint32 numpy.uint64 numpy.str_ numpy.bytes_ numpy.random._pickle.__bit_generator_ctor
    numpy.random._pickle.__generator_ctor numpy.random._pickle.__randomstate_ctor numpy.random._mt19937.MT19937 numpy.random._pcg64.PCG64
    numpy.random._philox.Philox numpy.random._sfc64.SFC64 numpy.random.bit_generator.SeedSequence numpy.random._generator.Generator
    numpy.random.mtrand.RandomState numpy.random.bit_generator.__pyx_unpickle_SeedSequence scipy.sparse._csr.csr_matrix
    scipy.sparse._csr.csr_array scipy.sparse._csc.csc_matrix scipy.sparse._csc.csc_array scipy.sparse._coo.coo_matrix
    scipy.sparse._coo.coo_array lightgbm.sklearn.LGBMRegressor lightgbm.sklearn.LGBMRanker xgboost.core.Booster
    xgboost.sklearn.XGBClassifier xgboost.sklearn.XGBRegressor xgboost.sklearn.XGBRanker xgboost.sklearn.XGBRFClassifier
    sklearn.utils._bunch.Bunch sklearn.utils._tags.Tags sklearn._loss.loss.HalfMultinomialLoss sklearn._loss.loss.HalfSquaredError
    sklearn._loss._loss.CyHalfBinomialLoss sklearn._loss._loss.CyHalfMultinomialLoss sklearn._loss._loss.CyHalfSquaredError
    sklearn._loss.link.LogitLink sklearn._loss.link.IdentityLink sklearn._loss.link.Interval sklearn._loss.link.MultinomialLogit
    torch._utils._rebuild_tensor_v2 torch._utils._rebuild_parameter torch.FloatStorage torch.DoubleStorage torch.HalfStorage torch.BFloat16Storage
    torch.LongStorage torch.IntStorage torch.ShortStorage torch.CharStorage torch.ByteStorage torch.BoolStorage
    """
)


def _is_dangerous(module: str, name: str) -> bool:
    if module.partition(".")[0] in DANGEROUS_MODULES or any(module == item or module.startswith(item + ".") for item in DANGEROUS_SUBMODULES):
        return True
    parts = name.split(".")
    if name in DANGEROUS_NAMES.get(module, ()) or parts[0] in DANGEROUS_NAMES.get(module, ()):
        return True
    if parts[-1] in DANGEROUS_LEAVES:
        return True
    # protocol 4 follows dots through attributes: `numpy` + `os.system`, `pathlib` + `Path.write_text`
    return len(parts) > 1 and (module == "pathlib" or bool(set(parts) & (DANGEROUS_MODULES | DANGEROUS_LEAVES | {"builtins"})))


def _is_harmless(module: str, name: str) -> bool:
    return f"{module}.{name}" in HARMLESS or ("." not in name and is_sklearn_estimator(f"{module}.{name}"))


def _python3_name(module: str, name: str) -> tuple[str, str]:
    if (module, name) in _compat_pickle.NAME_MAPPING:
        found: tuple[str, str] = _compat_pickle.NAME_MAPPING[(module, name)]
        return found
    return _compat_pickle.IMPORT_MAPPING.get(module, module), name
