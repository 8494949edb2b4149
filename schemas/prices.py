"""Prices and assumptions that turn quantities into money; `prices.toml` has defaults."""

import tomllib
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, Field


class Prices(BaseModel):
    """What a crawl costs, by item. GB are 10^9 bytes, GiB 2^30."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    note: str = Field(description="whose prices these are, and when they were noted")
    currency: str
    vcpu_hour: float = Field(ge=0, description="a virtual CPU for an hour")
    memory_gib_hour: float = Field(ge=0, description="a GiB of memory for an hour")
    storage_gb_month: float = Field(ge=0, description="a stored GB for a month")
    received_gb: float = Field(ge=0, description="a received GB")
    memory_gib_per_vcpu: float = Field(ge=0, description="memory of the workers")
    vcpu_utilisation: float = Field(gt=0, le=1, description="share of CPU time put to use")
    storage_months: float = Field(ge=0, description="how long the dataset is kept")


def default_prices() -> Prices:
    """The prices that come with this package."""
    return parse_prices(files("schemas").joinpath("prices.toml").read_text())


def parse_prices(text: str) -> Prices:
    """The prices of a TOML file; ValueError if it is no TOML or not these fields."""
    return Prices.model_validate(tomllib.loads(text))
