"""RecBole's ``--key=value`` in click: options, commands and their table, with help in the same form.

Hyphens and underscores in keys are the same; ``--key value`` and unknown options are errors with a suggestion. Imports
that the doctor must run without are inside functions.
"""

from functools import partial
from inspect import cleandoc

import click
from click.core import ParameterSource

from recbole_mpo import __version__
from recbole_mpo.cli.experiment_files import CONFIG_FILES, EXPERIMENT, read_experiment, read_experiments
from recbole_mpo.cli.kinds import Text, Truth
from recbole_mpo.common.errors import ConfigError

# Options that are answered wherever they are on the line, whatever else is there.
ASKED = ("--help", "-h", "--version")
# Keys of the options that every command has; they take no value.
BARE = ("help", "version", "debug")
OTHER_OPTIONS = "[--key=value ...]"


class Option(click.Option):
    """An option of one command.

    Args:
        group: heading under which help lists the option.
    """

    def __init__(self, *args, group: str = "options", **attributes):
        super().__init__(*args, **attributes)
        self.group = group

    @property
    def key(self) -> str:
        """Return the name before ``=``."""
        return self.opts[0].removeprefix("--")

    @property
    def is_switch(self) -> bool:
        """Return whether the bare ``--key`` is allowed."""
        return isinstance(self.type, Truth)

    @property
    def form(self) -> str:
        """Return the option as help shows it, ``--key=FILE`` or ``--key``."""
        return self.opts[0] if self.is_switch and not self.default else f"{self.opts[0]}={self.type.form}"

    def read(self, text: str):
        """Return the value that ``--key=text`` gives; None means the default."""
        return None if self.type.is_none(text) else self.type.read(self.key, text)

    def get_help_record(self, ctx) -> tuple[str, str]:
        """Return the option's form, and its sentence with the default."""
        if self.required:
            return self.form, f"{self.help} [required]"
        # An empty tuple and click's marker for a missing default would not help a reader.
        if not isinstance(self.default, (str, int, float)):
            return self.form, self.help
        default = str(self.default).lower() if self.is_switch else self.default
        return self.form, f"{self.help} [default: {default}]"


class _Helpful:
    """Base of commands and their table: help in the form ``--key=value``, ``--version`` and ``--debug``."""

    def __init__(self, *args, **attributes):
        context = {"help_option_names": ["--help", "-h"], "max_content_width": 100}
        super().__init__(*args, context_settings=context, **attributes)
        self.params += [
            click.Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_print_version,
                help="Show the version and exit.",
            ),
            # main handles it; here it is declared for help.
            click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error."),
        ]

    def format_usage(self, ctx, formatter):
        """Write the usage line."""
        formatter.write_usage(ctx.command_path, " ".join(self.collect_usage_pieces(ctx)), prefix="usage: ")

    def format_options(self, ctx, formatter):
        """Write the options under their headings."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option):
                heading = param.group if isinstance(param, Option) else "every command"
                sections.setdefault(heading, []).append(param.get_help_record(ctx))
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def _print_version(ctx, _, is_asked: bool):
    if is_asked:
        click.echo(f"recbole_mpo {__version__}")
        ctx.exit()


class Command(_Helpful, click.Command):
    """One command, declared by its options, arguments and docstring.

    Args:
        settings: a sentence for help about further settings, which the function gets as ``settings``; by default the
            command takes none.
    """

    def __init__(self, *args, settings: str = "", **attributes):
        summary = cleandoc(attributes["help"]).splitlines()[0]
        super().__init__(*args, short_help=summary, epilog=settings or None, **attributes)
        self.settings = settings

    @property
    def options(self) -> dict[str, Option]:
        """Return the command's own options by key."""
        return {param.key: param for param in self.params if isinstance(param, Option)}

    @property
    def words(self) -> list[str]:
        """Return the names that help uses for arguments without a key."""
        return [param.metavar for param in self.params if isinstance(param, click.Argument)]

    def collect_usage_pieces(self, ctx) -> list[str]:
        """Return the parts of the usage line: arguments, required options, and whether there are others."""
        options = self.options.values()
        required = [option.form for option in options if option.required]
        has_others = self.settings or any(not option.required for option in options)
        return [*self.words, *required, *([OTHER_OPTIONS] if has_others else [])]

    def parse_args(self, ctx, args: list[str]) -> list[str]:
        """Read the arguments into the context.

        Raises:
            ConfigError: an argument is unknown, malformed or missing, or is given twice with different values.
        """
        questions = [argument for argument in args if argument in ASKED]
        if questions:
            return super().parse_args(ctx, questions[:1])
        option_texts, words, other_arguments = self._sort(args)
        settings = self._read_settings(ctx, other_arguments)
        config_files = self._read_experiments(ctx, option_texts)
        experiment = self._read_experiment(ctx, option_texts, words)
        for key, option in self.options.items():
            if option.required and key not in option_texts:
                raise ConfigError(f"{ctx.info_name} needs --{key}=VALUE")
        rest = super().parse_args(ctx, [*(f"--{key}={text}" for key, text in option_texts.items()), "--", *words])
        if self.settings:
            ctx.params["settings"] = settings
        if config_files:
            ctx.params[CONFIG_FILES] = config_files
        if experiment:
            ctx.params[EXPERIMENT] = experiment
        return rest

    def _sort(self, args: list[str]) -> tuple[dict[str, str], list[str], list[str]]:
        """Return the texts of the command's own options by key, arguments without a key, and all other arguments."""
        options = self.options
        option_texts, words, other_arguments = {}, [], []
        for argument in args:
            key, equals, text = _split(argument)
            option = options.get(key) if argument.startswith("--") else None
            if self.words and not argument.startswith("-"):
                words.append(argument)
            elif option is None or not (equals or option.is_switch):
                other_arguments.append(argument)
            else:
                text = text if equals else "true"
                if option.read(option_texts.setdefault(key, text)) != option.read(text):
                    raise ConfigError(f"--{key} is given twice, as {option_texts[key]!r} and {text!r}")
        option_texts = {key: text for key, text in option_texts.items() if options[key].read(text) is not None}
        return option_texts, words, other_arguments

    def _read_experiments(self, ctx, option_texts: dict[str, str]) -> list[str | dict]:
        """Add the options of experiment files to those on the command line, which win; return all layers of files."""
        if CONFIG_FILES not in option_texts:
            return []
        paths = self.options[CONFIG_FILES].read(option_texts[CONFIG_FILES])
        layers, texts = read_experiments(paths, ctx.info_name, self.options)
        self._add(option_texts, texts)
        return layers

    def _read_experiment(self, ctx, option_texts: dict[str, str], words: list[str]) -> tuple[str, dict] | None:
        """Return path and settings of the experiment file that the command runs, if it runs one; add its options."""
        if not any(param.name == EXPERIMENT for param in self.params):
            return None
        path, settings, texts = read_experiment(words, ctx.info_name, self.options)
        self._add(option_texts, texts)
        return path, settings

    def _add(self, option_texts: dict[str, str], texts: dict[str, str]):
        """Add the options of a file to those on the command line, which win."""
        for key, text in texts.items():
            if not self.options[key].type.is_none(text):
                option_texts.setdefault(key, text)

    def _read_settings(self, ctx, arguments: list[str]) -> dict:
        """Return the settings that the arguments give; any other argument is refused."""
        if not arguments:
            return {}
        from recbole_mpo.common.values import parse_assignments, suggestion

        for argument in arguments:
            key, equals, _ = _split(argument)
            if key in BARE and equals:
                raise ConfigError(f"--{key} takes no value; write --{key} alone")
            if not argument.startswith("--") or not key or key in self.options or (self.settings and equals):
                continue
            hint = suggestion(key, self.options)
            if hint or not self.settings:
                raise ConfigError(f"{ctx.info_name} has no --{key}{hint}; see {ctx.command_path} --help")
        return parse_assignments(arguments)


class CommandTable(_Helpful, click.Group):
    """The table of commands; its first argument names the one to run."""

    def collect_usage_pieces(self, ctx) -> list[str]:
        """Return the words after the program's name."""
        return ["COMMAND", OTHER_OPTIONS]

    def format_options(self, ctx, formatter):
        """Write the commands, then the options that all of them have."""
        with formatter.section("commands"):
            formatter.write_dl([(name, command.short_help) for name, command in self.commands.items()])
        super().format_options(ctx, formatter)

    def parse_args(self, ctx, args: list[str]) -> list[str]:
        """Read the command's name.

        Raises:
            ConfigError: the command does not exist.
        """
        if args[0] not in self.commands:
            questions = [argument for argument in args if argument in ASKED]
            if not questions:
                from recbole_mpo.common.values import suggestion

                hint = suggestion(args[0], self.commands)
                raise ConfigError(f"unknown command {args[0]!r}{hint}; see recbole-mpo --help")
            args = questions[:1]
        return super().parse_args(ctx, args)


def _split(argument: str) -> tuple[str, str, str]:
    """Return an argument's key, its ``=`` (or an empty text), and the text after it."""
    name, equals, text = argument.removeprefix("--").partition("=")
    return name.replace("-", "_"), equals, text


command = partial(click.command, cls=Command)


def option(name: str, kind: Text, says: str, **attributes):
    """Return a decorator that adds an option to a command, with its kind and its help sentence."""
    return click.option(name, type=kind, help=says, cls=Option, **attributes)


def given_options(ctx) -> list[Option]:
    """Return the options given on the command line, in the order of their declaration."""
    options = ctx.command.options.values()
    return [option for option in options if ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE]
