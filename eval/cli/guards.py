"""`pii`, `injection`, `harmful` and their fits: how well what must not get in or out is told from what may."""

from __future__ import annotations

import argparse
from pathlib import Path

from eval.cli.arguments import Commands, add_command, add_folders, add_sets
from eval.cli.output import show


def add_to(commands: Commands) -> None:
    """Add them."""
    pii = add_command(commands, "pii", "recall and precision of the recognisers of personal data")
    pii.epilog = "example: python -m eval pii --data path/to/presidio_pii"
    add_sets(pii)
    pii.set_defaults(command=run_pii)
    injection = add_screen(commands, "injection", "attacks caught and harmless texts refused, and secrets in answers")
    injection.epilog = "example: python -m eval injection --data path/to/bipia --data path/to/tensortrust"
    fit = add_command(commands, "fit-injection", "fit the detector of injected instructions that ships")
    fit.epilog = (
        "example: python -m eval fit-injection --data bipia --data wildguard_benign --data squad_xquad "
        "--manuals constraints.txt --out injection.npz"
    )
    add_folders(fit)
    fit.add_argument("--manuals", type=Path, metavar="FILE", help="a list of packages whose descriptions are manuals")
    fit.add_argument("--without", action="append", default=[], metavar="NAME", help="learn nothing from this source")
    fit.add_argument("--vectors", type=Path, metavar="FILE", help="keeps the embeddings between runs")
    fit.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write the weights")
    fit.set_defaults(command=run_fit_injection)
    add_harmful(commands)


def add_harmful(commands: Commands) -> None:
    """Add `harmful` and `fit-harmful`."""
    harmful = add_screen(commands, "harmful", "harmful requests and answers caught, and harmless ones refused")
    harmful.epilog = "example: python -m eval harmful --data path/to/advbench --data path/to/wildguard_benign"
    fit = add_command(commands, "fit-harmful", "fit the detector of harmful content that ships")
    fit.epilog = "example: python -m eval fit-harmful --data wildguard_benign --data squad_xquad --out harmful.npz"
    add_folders(fit)
    fit.add_argument("--vectors", type=Path, metavar="FILE", help="keeps the embeddings between runs")
    fit.add_argument("--each-category", action="store_true", help="see what weights make of a category never learned")
    fit.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write the weights")
    fit.set_defaults(command=run_fit_harmful)


def add_screen(commands: Commands, name: str, summary: str) -> argparse.ArgumentParser:
    """Return the parser of a new subcommand that measures a detector, with its options."""
    command = add_command(commands, name, summary)
    add_sets(command)
    command.add_argument("--model", type=Path, metavar="FILE", help="weights in place of those that ship")
    command.add_argument("--by-signs", action="store_true", help="by words alone, as with another embedding model")
    command.set_defaults(command=run_screen, screen=name)
    return command


def run_pii(arguments: argparse.Namespace) -> int:
    """Measure set by set, with the model that the settings name."""
    from eval.personal import measure
    from ragopt.config import load_settings
    from ragopt.wiring.privacy import opened_recognisers

    with opened_recognisers(load_settings()) as recognisers:
        reports = [
            measure(folder, limit=arguments.limit, seed=arguments.seed, recognisers=recognisers)
            for folder in arguments.data
        ]
    return show(reports, as_lines=arguments.json)


def run_screen(arguments: argparse.Namespace) -> int:
    """Measure a detector set by set; that of injections over all of them as well where there are several."""
    from eval.harmful.measure import measure as measure_harmful
    from eval.injection.measure import measure as measure_injection
    from eval.screening.measure import ScreenJob

    measure = measure_injection if arguments.screen == "injection" else measure_harmful
    job = ScreenJob(arguments.limit, model=arguments.model, by_signs=arguments.by_signs, seed=arguments.seed)
    return show(measure(arguments.data, job), as_lines=arguments.json)


def run_fit_injection(arguments: argparse.Namespace) -> int:
    """Fit, write and say how well it does on what was left out."""
    from eval.injection.fit import FitInjectionJob, run

    job = FitInjectionJob(
        tuple(arguments.data),
        manuals=arguments.manuals,
        without=tuple(arguments.without),
        vectors=arguments.vectors,
        seed=arguments.seed,
    )
    return show([run(job, arguments.out)], as_lines=arguments.json)


def run_fit_harmful(arguments: argparse.Namespace) -> int:
    """Fit, write and say how well it does on what was left out."""
    from eval.harmful.fit import FitHarmfulJob, run

    job = FitHarmfulJob(
        tuple(arguments.data), vectors=arguments.vectors, each_category=arguments.each_category, seed=arguments.seed
    )
    return show([run(job, arguments.out)], as_lines=arguments.json)
