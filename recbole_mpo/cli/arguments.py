"""RecBole's ``--key=value`` in click: options, commands and their table, with help in the same form.

Hyphens and underscores in keys are the same; ``--key value`` and unknown options are errors with a suggestion. What is
imported inside functions is what the doctor runs without.
"""

from functools import partial
from inspect import cleandoc

import click
from click.core import ParameterSource

from recbole_mpo import __version__
from recbole_mpo.cli.kinds import Text, Truth
from recbole_mpo.common.errors import ConfigError

# Questions that are answered wherever they stand on the line, whatever else stands there.
ASKED = ("--help", "-h", "--version")
# Keys of what every command understands, which take no value.
BARE = ("help", "version", "debug")
OTHER_OPTIONS = "[--key=value ...]"


class Option(click.Option):
    """An option of one command.

    Args:
        group: heading below which help lists it.
    """

    def __init__(self, *args, group: str = "options", **attributes):
        super().__init__(*args, **attributes)
        self.group = group

    @property
    def key(self) -> str:
        """Return the name that stands before ``=``."""
        return self.opts[0].removeprefix("--")

    @property
    def is_switch(self) -> bool:
        """Return whether the bare ``--key`` is understood."""
        return isinstance(self.type, Truth)

    @property
    def form(self) -> str:
        """Return how it is given, ``--key=FILE`` or ``--key``."""
        return self.opts[0] if self.is_switch and not self.default else f"{self.opts[0]}={self.type.form}"

    def read(self, text: str):
        """Return the value that ``--key=text`` gives; none leaves the default."""
        return None if self.type.is_none(text) else self.type.read(self.key, text)

    def get_help_record(self, ctx) -> tuple[str, str]:
        """Return how it is given, and its sentence with the default."""
        if self.required:
            return self.form, f"{self.help} [required]"
        # An empty tuple and click's own mark for an undeclared default say nothing to a reader.
        if not isinstance(self.default, (str, int, float)):
            return self.form, self.help
        default = str(self.default).lower() if self.is_switch else self.default
        return self.form, f"{self.help} [default: {default}]"


class _Helpful:
    """What the commands and their table share: help in the form ``--key=value``, ``--version`` and ``--debug``."""

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
            # main looks for it on the whole line; here it is listed for help.
            click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the whole trace of an error."),
        ]

    def format_usage(self, ctx, formatter):
        """Write the line of usage."""
        formatter.write_usage(ctx.command_path, " ".join(self.collect_usage_pieces(ctx)), prefix="usage: ")

    def format_options(self, ctx, formatter):
        """Write the options below their headings."""
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
    """One command; its options, arguments and docstring are the whole of its declaration.

    Args:
        settings: what help says of settings besides the options, which come to the function as ``settings``; where it
            is left out, the command takes none.
    """

    def __init__(self, *args, settings: str = "", **attributes):
        summary = cleandoc(attributes["help"]).splitlines()[0]
        super().__init__(*args, short_help=summary, epilog=settings or None, **attributes)
        self.settings = settings

    @property
    def options(self) -> dict[str, Option]:
        """Return its own options by key."""
        return {param.key: param for param in self.params if isinstance(param, Option)}

    @property
    def words(self) -> list[str]:
        """Return how help calls its arguments without a key."""
        return [param.metavar for param in self.params if isinstance(param, click.Argument)]

    def collect_usage_pieces(self, ctx) -> list[str]:
        """Return what has to be given, in order."""
        options = self.options.values()
        required = [option.form for option in options if option.required]
        has_others = self.settings or any(not option.required for option in options)
        return [*self.words, *required, *([OTHER_OPTIONS] if has_others else [])]

    def parse_args(self, ctx, args: list[str]) -> list[str]:
        """Read the arguments into the context.

        Raises:
            ConfigError: an argument is unknown, ill-formed, missing, or given twice with different values.
        """
        asked = [argument for argument in args if argument in ASKED]
        if asked:
            return super().parse_args(ctx, asked[:1])
        given, words, others = self._sort(args)
        settings = self._read_settings(ctx, others)
        for key, option in self.options.items():
            if option.required and key not in given:
                raise ConfigError(f"{ctx.info_name} needs --{key}=VALUE")
        rest = super().parse_args(ctx, [*(f"--{key}={text}" for key, text in given.items()), "--", *words])
        if self.settings:
            ctx.params["settings"] = settings
        return rest

    def _sort(self, args: list[str]) -> tuple[dict[str, str], list[str], list[str]]:
        """Return texts of its own options by key, arguments without a key, and all others."""
        options = self.options
        given, words, others = {}, [], []
        for argument in args:
            key, equals, text = _split(argument)
            option = options.get(key) if argument.startswith("--") else None
            if self.words and not argument.startswith("-"):
                words.append(argument)
            elif option is None or not (equals or option.is_switch):
                others.append(argument)
            else:
                text = text if equals else "true"
                if option.read(given.setdefault(key, text)) != option.read(text):
                    raise ConfigError(f"--{key} is given twice, as {given[key]!r} and {text!r}")
        given = {key: text for key, text in given.items() if options[key].read(text) is not None}
        return given, words, others

    def _read_settings(self, ctx, arguments: list[str]) -> dict:
        """Return the settings that the arguments give, whose reader also says what is wrong with other arguments."""
        if not arguments:
            return {}
        from recbole_mpo.common.values import parse_assignments, suggestion

        for argument in arguments:
            key, equals, _ = _split(argument)
            if key in BARE and equals:
                raise ConfigError(f"--{key} takes no value; write --{key} alone")
            if not argument.startswith("--") or not key or key in self.options or (self.settings and equals):
                continue
            near = suggestion(key, self.options)
            if near or not self.settings:
                raise ConfigError(f"{ctx.info_name} has no --{key}{near}; see {ctx.command_path} --help")
        return parse_assignments(arguments)


class CommandTable(_Helpful, click.Group):
    """The table of commands; its first argument names the one to run."""

    def collect_usage_pieces(self, ctx) -> list[str]:
        """Return what stands behind the program's name."""
        return ["COMMAND", OTHER_OPTIONS]

    def format_options(self, ctx, formatter):
        """Write the commands, then the options of all."""
        with formatter.section("commands"):
            formatter.write_dl([(name, command.short_help) for name, command in self.commands.items()])
        super().format_options(ctx, formatter)

    def parse_args(self, ctx, args: list[str]) -> list[str]:
        """Read the command's name.

        Raises:
            ConfigError: there is no such command.
        """
        if args[0] not in self.commands:
            asked = [argument for argument in args if argument in ASKED]
            if not asked:
                from recbole_mpo.common.values import suggestion

                near = suggestion(args[0], self.commands)
                raise ConfigError(f"unknown command {args[0]!r}{near}; see recbole-mpo --help")
            args = asked[:1]
        return super().parse_args(ctx, args)


def _split(argument: str) -> tuple[str, str, str]:
    """Return key, ``=`` and text of an argument."""
    name, equals, text = argument.removeprefix("--").partition("=")
    return name.replace("-", "_"), equals, text


command = partial(click.command, cls=Command)


def option(name: str, kind: Text, says: str, **attributes):
    """Return the decorator that gives a command an option ``--key``, its kind and its sentence."""
    return click.option(name, type=kind, help=says, cls=Option, **attributes)


def given_options(ctx) -> list[Option]:
    """Return the options that stand on the line, in the order of their declaration."""
    options = ctx.command.options.values()
    return [option for option in options if ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE]
