"""Extend Hydra by the user's own options beside her work, and compose configs."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from yaml.reader import ReaderError

from blurr.config import naming, paths
from blurr.config.words import check_words
from blurr.errors import InputError
from blurr.process import setup


class OptionSource(ConfigSource):
    """A folder of options, in which only sub-folders named like an option group count."""

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider=provider, path=path)
        self.groups = set(paths.groups()) if Path(self.path) == paths.own_root() else {paths.EXPERIMENTS}

    @staticmethod
    def scheme() -> str:
        """Return what stands before `://` in a search path that this source reads."""
        return "options"

    def available(self) -> bool:
        """Return True: a folder need not hold options."""
        return True

    def is_group(self, config_path: str) -> bool:
        """Is this the root, or a folder named like an option group?"""
        return not config_path or (self._in_group(config_path) and (Path(self.path) / config_path).is_dir())

    def is_config(self, config_path: str) -> bool:
        """Is this an option's file in a group?"""
        return self._in_group(config_path) and self._file(config_path).is_file()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return the groups (of the root) or options (of a group)."""
        names: list[str] = []
        folder = Path(self.path) / config_path
        for name in sorted(child.name for child in folder.iterdir()):
            self._list_add_result(names, f"{config_path}/{name}".lstrip("/"), name, results_filter)
        return sorted(set(names))

    def load_config(self, config_path: str) -> ConfigResult:
        """Read one option's file, with its `@package` header."""
        file = self._file(config_path)
        if not self.is_config(config_path):
            raise ConfigLoadError(f"There is no {file}")
        try:
            option = OmegaConf.load(file)
        except (UnicodeDecodeError, ReaderError) as error:
            raise InputError(f"{file} is not UTF-8 text ({error}). Save it as UTF-8.") from error
        except RecursionError as error:
            raise InputError(f"{file} is nested too deeply, or includes itself by its defaults.") from error
        except OSError as error:  # what OmegaConf raises for a lone number
            raise InputError(_no_mapping(file)) from error
        # OmegaConf makes a key of a lone text
        if not isinstance(option, DictConfig) or list(option) == [" ".join(file.read_text(encoding="utf-8").split())]:
            raise InputError(_no_mapping(file))
        return ConfigResult(
            provider=self.provider,
            path=self.full_path(),
            config=option,
            header=self._get_header_dict(file.read_text(encoding="utf-8")[:512]),
        )

    def _file(self, config_path: str) -> Path:
        return Path(self.path) / str(self._normalize_file_name(config_path))

    def _in_group(self, config_path: str) -> bool:
        return config_path.split("/")[0] in self.groups


def _no_mapping(file: Path) -> str:
    return f"{file} is not a mapping. An option consists of lines of the form `key: value`."


class OptionSearchPath(SearchPathPlugin):
    """Puts the user's own options before blurr's, and `experiments/` behind conf/."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the launch folder and the folder that holds `experiments/`."""
        own = paths.own_root()
        if own:
            search_path.prepend(provider="own", path=f"{OptionSource.scheme()}://{own}")
        search_path.append(
            provider=paths.EXPERIMENTS,
            path=f"{OptionSource.scheme()}://{paths.shipped_folder(paths.EXPERIMENTS).parent}",
        )


def prepare_process() -> None:
    """Set up a process that is blurr's own, rather than a notebook's."""
    setup.collect_rarely()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises errors rather than print them
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads slow a busy machine down several times over
    sys.path.append(os.getcwd())  # modules beside the user's work are importable from the console script, too
    setup.ignore_warnings_of_imports()
    register()


def register() -> None:
    """Register the source and the search path above with Hydra, and what configs call by name."""
    Plugins.instance().register(OptionSource)
    Plugins.instance().register(OptionSearchPath)
    naming.register()


def compose(overrides: Sequence[str]) -> DictConfig:
    """Compose the config that a command line would, without running it.

    Args:
        overrides: of the form `key=value`, as on the command line.

    Returns:
        The config without Hydra's own part.
    """
    check_words(overrides)
    register()
    with hydra.initialize_config_dir(str(paths.config_root()), version_base="1.3", job_name="blurr"):
        cfg = hydra.compose("config", list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
