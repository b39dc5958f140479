"""What the provider declares for the technical documentation of a system: the statements of Regulation (EU) 2024/1689, Annex IV, that no audit can
find out. Each field says which point it answers; the points themselves are listed in assessments/annex_iv.py."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1)]


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class NotApplicable(_Declared):
    """A point that this system does not have, and why; only where Annex IV leaves that open."""

    not_applicable: Text = Field(description="Why the point does not apply")


class TechnicalDeclarations(_Declared):
    """The provider's statements by field; a point whose statement is absent stays open."""

    provider: Text | None = Field(default=None, description="Who places the system on the market or puts it into service: name and address, 1(a)")
    interaction: Text | None = Field(default=None, description="Hardware, software and other AI systems that it works with, 1(b)")
    software_and_updates: Text | None = Field(default=None, description="Versions of the software it runs in, and what an update asks for, 1(c)")
    market_forms: Text | None = Field(default=None, description="In which forms users get it: package, service, device, 1(d)")
    hardware: Text | None = Field(default=None, description="Hardware that it is meant to run on, 1(e)")
    product_markings: Text | NotApplicable | None = Field(
        default=None, description="Where pictures of the product with its markings and inside layout are kept, if it is part of one, 1(f)"
    )
    deployer_interface: Text | None = Field(default=None, description="What the deployer's people see and operate, 1(g)")
    instructions_for_use: Text | None = Field(default=None, description="What the deployer is told, or where that is kept, 1(h)")
    development: Text | None = Field(default=None, description="How it was developed, with which tools and models of others, 2(a)")
    design_choices: Text | None = Field(default=None, description="What it optimises, on which assumptions, with which trade-offs, 2(b)")
    architecture_and_computing: Text | None = Field(default=None, description="How its parts fit together, and computing spent on it, 2(c)")
    data_selection_and_labelling: Text | None = Field(default=None, description="How data were chosen, labelled and cleaned, 2(d)")
    oversight_assessment: Text | None = Field(default=None, description="Which oversight people need, and what makes outputs interpretable, 2(e)")
    planned_changes: Text | NotApplicable | None = Field(
        default=None, description="Changes determined beforehand, and what keeps the system compliant through them, 2(f)"
    )
    test_signatory: Text | None = Field(default=None, description="The function that is responsible for the test reports and signs them, 2(g)")
    cybersecurity: Text | None = Field(default=None, description="Measures against attacks on the system, 2(h)")
    unintended_outcomes: Text | None = Field(default=None, description="Foreseeable outcomes that nobody wants, and sources of risk, 3")
    metric_choice: Text | None = Field(default=None, description="Why the measures of performance suit this system, 4")
    risk_management: Text | None = Field(default=None, description="The risk management system, or where its file is kept, 5")
    changes_made: Text | None = Field(default=None, description="Changes through its life, and whether any was substantial, 6")
    standards: Text | None = Field(default=None, description="Harmonised standards applied, or the solutions taken instead, 7")
    declaration_of_conformity: Text | None = Field(default=None, description="Where the signed EU declaration of conformity is kept, 8")
    post_market_plan: Text | None = Field(default=None, description="The plan for watching it in use, and how deployers report, 9")
