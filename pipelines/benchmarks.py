"""`uncurated benchmarks`: what the registry holds, what of it lies below a root, lists for that."""

from collections.abc import Collection, Iterable, Mapping

from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table

from ingest.benchmark_files import SplitCheck, check, present_benchmarks
from ingest.benchmark_lists.formats import FORMATS
from ingest.benchmark_lists.prepare import prepare
from ingest.errors import SetupError
from schemas.benchmarks import RegistryError, benchmark, load_benchmarks
from schemas.benchmarks.entry import Entry
from schemas.benchmarks.facts import DEFAULT_LABEL, LABEL
from schemas.benchmarks.model import Benchmark, Split
from schemas.benchmarks.places import expected_places
from schemas.benchmarks.published import PublishedTable
from schemas.benchmarks.vocabulary import Protocol, Task
from schemas.command_options import BenchmarksOptions

# Of these, images have labels.
_LABELLED = (Task.SINGLE_LABEL, Task.MULTI_LABEL, Task.ORDINAL)
# Told as roles.
_ROLES = {"train", "val", "test"}
_LIST = "Or images lie anywhere below {0}/, and the column path of a list {0}/SPLIT.csv names them."
_COLUMNS = (
    "The column of a field is one of that list, of a parquet or Arrow file, or in tar files of "
    "KEY.json, KEY.cls or KEY.txt beside KEY.png; folder 1 is the one that an image lies in."
)


def run_benchmarks(options: BenchmarksOptions) -> int:
    """0, or 1 if a check or annotations find a benchmark missing or broken; prints the answer."""
    if options.action == "show":
        if not options.id:
            raise SetupError("show: expected the id of a benchmark, got none")
        _say(*description(_known(options.id)))
        return 0
    if options.id:
        expected = "no id" if options.action == "list" else f"--benchmark {options.id}"
        raise SetupError(f"{options.action}: expected {expected}, got {options.id!r}")
    if options.action == "check":
        return _check(options)
    if options.action == "prepare":
        return _prepare(options)
    Console().print(registry_table(load_benchmarks().values()))
    return 0


def registry_table(benchmarks: Iterable[Benchmark]) -> Table:
    """One row a benchmark: what it is, what of it is cleaned, how it is evaluated."""
    found = list(benchmarks)
    table = Table(title=f"{len(found)} benchmarks")
    for heading in ("id", "category", "cleaned", "images", "protocols"):
        right = heading == "images"
        table.add_column(
            heading,
            justify="right" if right else "left",
            no_wrap=heading == "id",
            overflow="fold",
        )
    for one in found:
        splits = ", ".join(split.name for split in one.clean_splits)
        protocols = ", ".join(one.protocols) or f"none, {_why_none(one)}"
        table.add_row(one.id, one.category, splits or "none", _clean_images(one), protocols)
    return table


def description(one: Benchmark) -> list[str]:
    """All that the registry says of a benchmark, and where to put its files, line by line."""
    lines = [f"{one.name} ({one.id})"]
    facts = {
        "home": one.home,
        "licence": one.licence,
        "category": f"{one.category}: {one.category.explanation}",
        "task": f"{one.task}: {one.task.explanation}",
        "year": one.year,
        "classes": one.classes,
        "metric": f"{one.metric}: {one.metric.explanation}",
        "not evaluated": one.not_evaluated,
        "shares images with": ", ".join(one.shares_images_with) or None,
        "note": one.note,
    }
    lines += [f"  {name}: {value}" for name, value in facts.items() if value is not None]
    for protocol in one.protocols:
        lines += _protocol_lines(one, protocol)
    fields = ({LABEL: DEFAULT_LABEL} if one.task in _LABELLED else {}) | one.fields
    lines += [f"  field {name}: {_values(rule)}" for name, rule in fields.items()]
    if one.division:
        lines.append(f"  division: {_values(one.division)}")
    if one.match.model_fields_set:
        lines.append(f"  match: {_values(one.match)}")
    for split in one.splits:
        lines += _split_lines(one, split)
    lines += [_LIST.format(one.id), *([_COLUMNS] if fields else [])]
    lines.append("Other spellings of these folders and files: schemas/benchmarks/README.md")
    return lines


def _protocol_lines(one: Benchmark, protocol: Protocol) -> list[str]:
    """A protocol with all its numbers, those of this set first, and what others reported."""
    recipe = one.recipe_of(protocol)
    roles = one.roles_of(protocol)
    values = recipe.model_dump(
        mode="json", exclude_none=True, exclude={**dict.fromkeys(_ROLES, True), "probe": _ROLES}
    )
    own = dict(one.recipe.given()).get(protocol)
    deviating = own.model_fields_set if own else set()
    told = {
        "of this set": {name: value for name, value in values.items() if name in deviating},
        "as of others": {name: value for name, value in values.items() if name not in deviating},
    }
    lines = [f"  protocol: {protocol}: {protocol.explanation}"]
    lines += [f"    {role}: {', '.join(names)}" for role, names in roles.items()]
    lines += [f"    {whose}: {_told(some)}" for whose, some in told.items() if some]
    lines.append(f"    SHA-256: {one.protocol_sha256(protocol)}")
    main = one.protocols[0]
    tables = [table for table in one.published_tables if (table.protocol or main) == protocol]
    return lines + [f"    published: {_table_text(table)}" for table in tables]


def _table_text(table: PublishedTable) -> str:
    known = (table.model, table.metric, table.split, table.group, table.setting)
    of = ", ".join(part for part in known if part)
    return f"{of + ': ' if of else ''}{_told(table.values)} ({table.source})"


def _told(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in values.items())


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "{" + _told(value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_text(one) for one in value) + "]"
    if isinstance(value, str) and value != value.strip():
        return repr(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _split_lines(one: Benchmark, split: Split) -> list[str]:
    size = "number of images not known" if split.num_images is None else f"{split.num_images:,}"
    role = "cleaned" if split.clean else "not cleaned"
    note = f"; {split.note}" if split.note else ""
    places = expected_places(one, split)
    return [
        f"  split {split.name}: {size}, {role}{note}",
        "    below the root as one of:",
        *(f"      {place}" for place in places),
    ]


def _chosen(options: BenchmarksOptions, of: Collection[str]) -> list[Benchmark]:
    """The benchmarks that are named, or else those of these ids whose folder is there."""
    if not options.root:
        raise SetupError(f"{options.action}: expected --root, got none")
    named = [_known(name) for name in options.benchmark]
    found = named or [one for one in present_benchmarks(options.root) if one.id in of]
    if not found:
        raise SetupError(
            f"--root: expected folders named after benchmarks, got none of "
            f"{len(of)} ids in {options.root}"
        )
    return found


def _prepare(options: BenchmarksOptions) -> int:
    problems: list[str] = []
    for one in _chosen(options, FORMATS):
        try:
            for prepared in prepare(one, options.root):
                _say(str(prepared))
        except SetupError as error:
            # Annotations that are broken say nothing of the other benchmarks.
            problems.append(f"{one.id}: {error}")
    _say(*problems)
    return 1 if problems else 0


def _check(options: BenchmarksOptions) -> int:
    found = _chosen(options, load_benchmarks())
    checks: list[SplitCheck] = []
    problems: list[str] = []
    for one in found:
        try:
            checks += check(one, options.root, count_tars=options.count_tars)
        except SetupError as error:
            # One broken file says nothing of the other benchmarks.
            problems.append(f"{one.id}: {error}")
    Console().print(_check_table(checks))
    problems += [one.problem for one in checks if one.problem]
    _say(*problems, *(f"remark: {one.remark}" for one in checks if one.remark))
    return 1 if problems else 0


def _check_table(checks: Iterable[SplitCheck]) -> Table:
    table = Table()
    numbers = ("paths", "images", "expected", "classes", "of")
    for heading in ("benchmark", "split", "cleaned", "layout", *numbers):
        justify: JustifyMethod = "right" if heading in numbers else "left"
        table.add_column(heading, justify=justify, overflow="fold")
    for one in checks:
        place = one.place
        table.add_row(
            one.benchmark.id,
            one.split.name,
            "yes" if one.split.clean else "no",
            escape(str(place.layout)) if place else "not there",
            f"{len(place.paths):,}" if place else "",
            _count(one.num_images),
            _count(one.split.num_images),
            _count(one.num_classes),
            _count(one.benchmark.classes) if one.num_classes is not None else "",
        )
    return table


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _known(name: str) -> Benchmark:
    try:
        return benchmark(name)
    except RegistryError as error:
        raise SetupError(str(error)) from error


def _why_none(one: Benchmark) -> str:
    return "trained on" if one.role == "training" else "cleaned against"


def _clean_images(one: Benchmark) -> str:
    numbers = [split.num_images for split in one.clean_splits]
    known = sum(number for number in numbers if number is not None)
    return f"{known:,}" + ("" if all(numbers) else " + ?") if known else "?"


def _values(entry: Entry) -> str:
    return _told(entry.model_dump(mode="json", exclude_unset=True))


def _say(*lines: str) -> None:
    console = Console(soft_wrap=True)
    for line in lines:
        console.print(line, markup=False, highlight=False)
