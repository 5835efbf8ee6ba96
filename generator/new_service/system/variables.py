"""Which of the caller's variables reach the programs that we run: one decision for each."""

import os
from collections.abc import Mapping
from typing import Literal

Decision = Literal["pass", "drop"]

# A name that ends in `*` stands for all names with that beginning; a longer name has precedence.
TABLE: tuple[tuple[Decision, str, str], ...] = (
    # uv, each that it documents.
    (
        "pass",
        "where packages come from",
        "UV_DEFAULT_INDEX UV_INDEX UV_INDEX_URL UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_INDEX_STRATEGY "
        "UV_CONFIG_FILE UV_NO_SYSTEM_CONFIG UV_S3_ENDPOINT_URL UV_GCS_ENDPOINT_URL "
        "UV_AZURE_ENDPOINT_URL UV_GIT_LFS UV_NO_GITHUB_FAST_PATH",
    ),
    (
        "pass",
        "credentials",
        "UV_INDEX_* UV_KEYRING_PROVIDER UV_CREDENTIALS_DIR UV_GITHUB_TOKEN UV_API_KEY "
        "UV_AUTH_TOKEN UV_NO_HF_TOKEN HF_TOKEN NETRC PYX_API_KEY PYX_AUTH_TOKEN AWS_*",
    ),
    (
        "pass",
        "how to reach them",
        "UV_OFFLINE UV_SYSTEM_CERTS UV_NATIVE_TLS UV_INSECURE_HOST UV_HTTP_TIMEOUT "
        "UV_HTTP_CONNECT_TIMEOUT UV_HTTP_RETRIES UV_REQUEST_TIMEOUT HTTP_TIMEOUT HTTP_PROXY "
        "HTTPS_PROXY ALL_PROXY NO_PROXY SSL_CERT_FILE SSL_CERT_DIR SSL_CLIENT_CERT "
        "UV_REQUIRE_METADATA_RANGE_REQUESTS",
    ),
    (
        "pass",
        "caches, and how uv works with its files",
        "UV_CACHE_DIR UV_NO_CACHE UV_LINK_MODE UV_LOCK_TIMEOUT UV_CONCURRENT_* UV_STACK_SIZE "
        "RUST_MIN_STACK UV_RUN_RLIMIT_NOFILE UV_LEGACY_TAR_BACKEND UV_SKIP_WHEEL_FILENAME_CHECK "
        "UV_INSECURE_NO_ZIP_VALIDATION XDG_*",
    ),
    (
        "pass",
        "Pythons",
        "UV_PYTHON UV_PYTHON_PREFERENCE UV_PYTHON_ARCH UV_LIBC UV_MANAGED_PYTHON "
        "UV_NO_MANAGED_PYTHON UV_PYTHON_DOWNLOADS UV_PYTHON_DOWNLOADS_JSON_URL UV_PYTHON_BIN_DIR "
        "UV_PYTHON_INSTALL_DIR UV_PYTHON_INSTALL_BIN UV_PYTHON_INSTALL_REGISTRY "
        "UV_PYTHON_NO_REGISTRY UV_PYTHON_CACHE_DIR UV_PYTHON_SEARCH_PATH UV_PYTHON_INSTALL_MIRROR "
        "UV_PYPY_INSTALL_MIRROR UV_GRAALPY_INSTALL_MIRROR UV_PYODIDE_INSTALL_MIRROR "
        "UV_ASTRAL_MIRROR_URL UV_PYTHON_CPYTHON_BUILD UV_PYTHON_PYPY_BUILD "
        "UV_PYTHON_GRAALPY_BUILD UV_PYTHON_PYODIDE_BUILD CONDA_PREFIX CONDA_DEFAULT_ENV",
    ),
    (
        "pass",
        "what the user does not trust: uv reports what it refuses",
        "UV_NO_BUILD UV_NO_BUILD_PACKAGE UV_REQUIRE_BUILD_HASHES UV_MALWARE_CHECK "
        "UV_MALWARE_CHECK_URL",
    ),
    (
        "pass",
        "how uv reports",
        "UV_NO_PROGRESS UV_NO_WRAP UV_HIDE_BUILD_OUTPUT RUST_BACKTRACE NO_COLOR FORCE_COLOR "
        "CLICOLOR_FORCE COLUMNS",
    ),
    ("pass", "uv counts its own calls of itself", "UV_RUN_*"),
    (
        "drop",
        "which project and which settings: those of the service",
        "UV_PROJECT UV_NO_PROJECT UV_WORKING_DIR UV_WORKING_DIRECTORY UV_NO_CONFIG UV_ISOLATED",
    ),
    (
        # A check installs what is locked and removes all else: in `.venv`, never in an
        # environment that may hold the editor's tools, or us.
        "drop",
        "which environment: `.venv` in the service",
        "UV_PROJECT_ENVIRONMENT VIRTUAL_ENV UV_SYSTEM_PYTHON UV_BREAK_SYSTEM_PACKAGES "
        "UV_VENV_CLEAR UV_VENV_RELOCATABLE UV_VENV_SEED",
    ),
    (
        "drop",
        "what is installed there, and how: all that is locked, the service editable",
        "UV_DEV UV_NO_DEV UV_NO_GROUP UV_NO_DEFAULT_GROUPS UV_NO_EDITABLE UV_NO_INSTALL_PROJECT "
        "UV_NO_INSTALL_WORKSPACE UV_NO_INSTALL_LOCAL UV_ONLY_INSTALL_PROJECT "
        "UV_ONLY_INSTALL_WORKSPACE UV_ONLY_INSTALL_LOCAL UV_NO_BINARY UV_NO_BINARY_PACKAGE "
        "UV_NO_BUILD_ISOLATION UV_COMPILE_BYTECODE UV_COMPILE_BYTECODE_TIMEOUT "
        "PYC_INVALIDATION_MODE UV_NO_INSTALLER_METADATA",
    ),
    (
        "drop",
        "what a lock says, and whether it may be written",
        "UV_RESOLUTION UV_PRERELEASE UV_FORK_STRATEGY UV_EXCLUDE_NEWER UV_NO_SOURCES "
        "UV_NO_SOURCES_PACKAGE UV_CONSTRAINT UV_BUILD_CONSTRAINT UV_OVERRIDE UV_EXCLUDE "
        "UV_REQUIRE_HASHES UV_NO_VERIFY_HASHES UV_TORCH_BACKEND UV_CUDA_DRIVER_VERSION "
        "UV_AMD_GPU_ARCHITECTURE UV_LOCKED UV_FROZEN UV_NO_SYNC UV_PREVIEW UV_PREVIEW_FEATURES",
    ),
    ("drop", "variables that it would add", "UV_ENV_FILE UV_NO_ENV_FILE"),
    (
        "drop",
        "of commands of uv that we do not run, and logs among what we read",
        "UV UV_PUBLISH_* UV_INIT_* UV_TOOL_DIR UV_TOOL_BIN_DIR UV_CUSTOM_COMPILE_COMMAND "
        "UV_INSTALL_DIR UV_UNMANAGED_INSTALL UV_DOWNLOAD_URL UV_NO_MODIFY_PATH UV_INSTALLER_* "
        "UV_UPLOAD_HTTP_TIMEOUT UV_SHOW_RESOLUTION UV_LOG_CONTEXT RUST_LOG TRACING_DURATIONS_FILE",
    ),
    ("drop", "of a newer uv: not decided yet", "UV_*"),
    # Git.
    (
        "drop",
        "the repository of a caller such as a hook",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_COMMON_DIR GIT_CONFIG GIT_DIR GIT_GRAFT_FILE "
        "GIT_IMPLICIT_WORK_TREE GIT_INDEX_FILE GIT_INTERNAL_SUPER_PREFIX GIT_NAMESPACE "
        "GIT_NO_REPLACE_OBJECTS GIT_OBJECT_DIRECTORY GIT_PREFIX GIT_QUARANTINE_PATH "
        "GIT_REPLACE_REF_BASE GIT_SHALLOW_FILE GIT_WORK_TREE",
    ),
    (
        "drop",
        "what paths, files and differences mean",
        "GIT_LITERAL_PATHSPECS GIT_GLOB_PATHSPECS GIT_NOGLOB_PATHSPECS GIT_ICASE_PATHSPECS "
        "GIT_ATTR_SOURCE GIT_DIFF_OPTS GIT_EXTERNAL_DIFF",
    ),
    ("pass", "settings of its user's, such as credentials", "GIT_CONFIG_*"),
    # Python: the first ones change only a program's speed and caches.
    (
        "pass",
        "caches and speed",
        "PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX PYTHONUNBUFFERED PYTHONHASHSEED "
        "PYTHON_CPU_COUNT PYTHON_COLORS",
    ),
    ("drop", "what is imported, and how it is run", "PYTHON*"),
    # The programs that every service is run and checked by; its modules declare others.
    (
        "drop",
        "which project, and what is run or judged there",
        "POE_* UVICORN_* WEB_CONCURRENCY PYTEST_ADDOPTS PYTEST_PLUGINS "
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD MYPYPATH MYPY_CONFIG_FILE_DIR COVERAGE_RCFILE "
        "RUFF_OUTPUT_FILE RUFF_OUTPUT_FORMAT",
    ),
)

_NAMES = {name: decision for decision, _, names in TABLE for name in names.split()}
_BEGINNINGS = tuple(name[:-1] for name in sorted(_NAMES, key=len) if name.endswith("*"))[::-1]


def decision(name: str) -> Decision:
    """The decision for a variable; one that is not in the table is passed on."""
    if name in _NAMES:
        return _NAMES[name]
    if not name.startswith(_BEGINNINGS):
        return "pass"
    return _NAMES[next(each for each in _BEGINNINGS if name.startswith(each)) + "*"]


def chosen(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of `variables` that reach programs."""
    return {name: value for name, value in variables.items() if decision(name) == "pass"}


def choose() -> None:
    """Remove all others from our own environment, since Copier runs programs as well."""
    for name in os.environ.keys() - chosen(os.environ).keys():
        del os.environ[name]
