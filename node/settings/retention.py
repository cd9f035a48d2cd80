"""The tables of what is kept and for how long."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from node.domain.retention import Answer, Extent, RetentionRule
from node.settings.section import Seconds, Section

GIBIBYTE = 1024**3
Modality = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_ ]{1,16}$")]  # PS3.5 section 6.2, VR CS


class RetentionRuleSettings(Section):
    """What may be removed. A study goes when everything that the rule says is so; the first such rule counts.

    One of `older_than_days`, `while_more_studies_than` and `while_free_below_gib` must be there.
    """

    name: str = Field(min_length=1, max_length=64, description="For the audit trail; each rule has its own.")
    remove: Extent = Field(
        Extent.IMAGES,
        description="What goes: `images`, which leaves the results, or `study`. A study without results goes "
        "as a whole.",
    )
    older_than_days: float | None = Field(
        None, gt=0, le=36_500, description="Since the last arrival of an instance of the study."
    )
    while_more_studies_than: int | None = Field(
        None, ge=0, description="While more studies than this have images here, oldest arrival first."
    )
    while_free_below_gib: float | None = Field(
        None,
        gt=0,
        description="While less than this is free on the disk of `data_dir`, oldest arrival first.",
    )
    modalities: tuple[Modality, ...] = Field(
        (), description="The study has a series of one of these; by default any study."
    )
    results: Answer = Field(
        Answer.DELIVERED,
        description="Studies whose results were `delivered`, or with `none` in force, or `any`. What is in "
        "force must be proven delivered in any case.",
    )
    delivered_to: tuple[str, ...] = Field(
        (),
        description="Names of destinations, each of which must be proven to have the report; by default one "
        "that keeps objects, which a webhook does not.",
    )

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if (self.older_than_days, self.while_more_studies_than, self.while_free_below_gib) == (None,) * 3:
            raise ValueError(
                "says not when: set older_than_days, while_more_studies_than or while_free_below_gib"
            )
        return self

    def record(self, destinations: Collection[str], webhooks: Collection[str]) -> RetentionRule:
        """Return the domain's record.

        Parameters
        ----------
        destinations : collection of str
            Names of all destinations. A rule may name others, which were removed from the settings.
        webhooks : collection of str
            Names of those that are told of a report and keep no object.
        """
        age, free = self.older_than_days, self.while_free_below_gib
        return RetentionRule(
            name=self.name,
            remove=self.remove,
            older_than=None if age is None else timedelta(days=age),
            more_studies_than=self.while_more_studies_than,
            free_below=None if free is None else int(free * GIBIBYTE),
            modalities=frozenset(self.modalities),
            answer=self.results,
            delivered_to=frozenset(self.delivered_to),
            archives=frozenset(self.delivered_to or destinations) - frozenset(webhooks),
        )


class RetentionSettings(Section):
    """What is removed by itself, and when.

    Whatever the rules say: never what is not proven delivered, held, in screening, set aside, asked for by a
    peer by storage commitment, or kept by an operator's order.
    """

    enabled: bool = Field(False, description="Whether the rules are applied by themselves.")
    every_seconds: Seconds = Field(3600.0, description="Time between two looks.")
    most_studies_at_once: int = Field(
        200,
        ge=1,
        le=100_000,
        description="Studies that one look removes at most: a wrong clock does not empty the store at once.",
    )
    forget_after_days: float | None = Field(
        90.0,
        gt=0,
        le=36_500,
        description="Procedure steps and notifications of peers, requests for storage commitment that were "
        "reported on, and ended pulls are forgotten so long after their end, whether or not rules are "
        "applied. What a series that is not settled, a study kept by order or a committed instance that is "
        "here depends on stays. Without a value nothing is forgotten.",
    )
    rules: tuple[RetentionRuleSettings, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [rule.name for rule in self.rules]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"rules: the name {name!r} stands twice; give each its own")
        if self.enabled and not self.rules:
            raise ValueError("enabled without a rule; write a table [[retention.rules]]")
        return self
