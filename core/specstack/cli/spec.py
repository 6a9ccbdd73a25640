"""`specstack spec`: look at, compare and use the spec itself. Other modules add their commands to it."""

import typer

spec = typer.Typer(
    help="Check, bundle, compare, document and imitate a spec.\n\n"
    "Examples:\n\n"
    "\b\n"
    "  specstack spec lint                        every fault with file, line and mend\n"
    "  specstack spec bundle --version 3.1        one OpenAPI document of all files\n"
    "  specstack spec diff main...HEAD            what a branch changes, and whether it breaks anybody",
    rich_markup_mode=None,
    no_args_is_help=True,
)
