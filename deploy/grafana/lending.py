"""The rows of the dashboard about lenders and about what it costs; `build.py` puts them together."""

from typing import Final

from panels import MONTH_S, PARTS, RATE, WORKER, Panels, Query, cost_a_second, quantile, rate

ANSWERED: Final = 'outcome=~"approve|counter_offer|refer|decline"'
APPLIED: Final = 'outcome="applied"'
DRAWN: Final = 'kind="drawn", outcome="applied"'
SHADOW_AMOUNTS: Final = "duoshou_shadow_minor_units_total"
OF_A_POLICY: Final = "lender, product"
OF_SHADOW: Final = 'of="shadow"'
OF_LIVE: Final = 'of="live"'


def lenders(panels: Panels) -> None:
    """What merchants and lenders ask for, and what they are answered."""
    panels.row("Lenders")
    panels.series(
        "Policies in force",
        "none",
        [
            Query(f"duoshou_policies{{{WORKER}}}", "in force, {{instance}}"),
            Query(
                f"max by (topic) (duoshou_refused_versions_total{{{WORKER}}})", "{{topic}} refused"
            ),
        ],
        "Of all lenders and products, and records of policies and models that do not count. "
        "Runbook: DuoshouVersionRefused.",
    )
    panels.series(
        "Shadow policies: evaluations",
        "ops",
        [
            Query(
                rate("duoshou_shadow_evaluations_total", by="lender, product, compared"),
                "{{lender}}, {{product}}, {{compared}}",
            )
        ],
        "Evaluations a second in which a shadow policy gives more, the same or less than the live "
        "one; counted once a checkpoint has made them durable.",
    )
    panels.series(
        "Shadow policies: limits beside the live ones",
        "percentunit",
        [
            Query(
                f"{rate(SHADOW_AMOUNTS, by=OF_A_POLICY, where=OF_SHADOW)} "
                f"/ {rate(SHADOW_AMOUNTS, by=OF_A_POLICY, where=OF_LIVE)}",
                "{{lender}}, {{product}}",
            )
        ],
        "What the shadow policies give over what the live ones give by the same measure: without "
        "dead band, cool-down and steps. 100 %: the same in all.",
    )
    panels.series(
        "Shadow policies: versions",
        "none",
        [
            Query(
                f"max by (lender, product) (duoshou_shadow_policy_version{{{WORKER}}})",
                "{{lender}}, {{product}}",
            )
        ],
        "Version of each shadow policy that is counted; none when there is no shadow.",
    )
    panels.series(
        "Limit updates by lender",
        "ops",
        [Query(rate("duoshou_lender_limit_updates_total", by="lender"), "{{lender}}")],
        "Acknowledged limit updates a second, by lender; lenders are those of the settings.",
    )
    panels.series(
        "Merchant events",
        "ops",
        [
            Query(
                rate("duoshou_merchant_events_total", by="kind, outcome"), "{{kind}}, {{outcome}}"
            )
        ],
        "Registrations, consents, codes and closures a second by what became of them. "
        "Runbook: DuoshouDeadLetters.",
    )
    panels.series(
        "Applications by outcome",
        "ops",
        [Query(rate("duoshou_applications_total", by="outcome"), "{{outcome}}")],
        "Applications a second by their answer, or by what became of them. "
        "Runbook: DuoshouDeadLetters.",
    )
    panels.series(
        "Share of answers",
        "percentunit",
        [
            Query(
                f"{rate('duoshou_applications_total', by='outcome', where=ANSWERED)} "
                f"/ on () group_left () {rate('duoshou_applications_total', where=ANSWERED)}",
                "{{outcome}}",
            )
        ],
        "Of the answers to new applications. refer: a person decides; what is ordinary stands in "
        "the policy.",
    )
    panels.series(
        "Application to decision",
        "s",
        [
            Query(quantile("0.5", "duoshou_application_to_decision_seconds"), "p50"),
            Query(quantile("0.99", "duoshou_application_to_decision_seconds"), "p99"),
            Query(quantile("0.999", "duoshou_application_to_decision_seconds"), "p99.9"),
        ],
        "From the application's Kafka timestamp to its decision being handed to the broker. "
        "Runbooks: DuoshouDecisionsSlow, DuoshouDecisionsLate.",
    )
    panels.series(
        "Approved",
        "none",
        [Query(rate("duoshou_approved_minor_units_total"), "minor units a second")],
        "Amounts approved, in minor units of whatever currency, a second.",
    )
    panels.series(
        "Circuit breakers opened",
        "none",
        [
            Query(
                f"sum by (instance) (increase(duoshou_circuit_breakers_opened_total{{{WORKER}}}"
                f"{RATE}))",
                "{{instance}}",
            )
        ],
        "Times that approvals left the band of their policy. Runbook: DuoshouBreakerOpened.",
    )
    panels.series(
        "Raises stopped",
        "none",
        [
            Query(
                "sum by (lender, product, cause) "
                f"(duoshou_raises_stopped_partitions{{{WORKER}}}) or vector(0)",
                "{{lender}}, {{product}}: {{cause}}",
            )
        ],
        "Partitions in which limits of a policy do not rise because approvals, or the sum of its "
        "limits, are outside its band. Runbook: DuoshouBreakerOpened.",
    )
    panels.series(
        "Raises held back",
        "ops",
        [
            Query(
                f"{rate('duoshou_raises_held_total', by=OF_A_POLICY)} or vector(0)",
                "{{lender}}, {{product}}",
            )
        ],
        "Evaluations a second in which a limit would have risen while its raises are stopped; one "
        "merchant counts again with every payment. Counted once a checkpoint has made them "
        "durable. Runbook: DuoshouBreakerOpened.",
    )
    panels.series(
        "Fund events and claims",
        "ops",
        [
            Query(rate("duoshou_fund_events_total", by="kind, outcome"), "{{kind}}, {{outcome}}"),
            Query(rate("duoshou_claims_total", by="outcome"), "claim, {{outcome}}"),
        ],
        "Subscriptions, redemptions and claims a second by what became of them. "
        "Runbook: DuoshouDeadLetters.",
    )


def cost(panels: Panels) -> None:
    """What the machines cost, by the prices of the settings and the formula of `docs/cost.md`."""
    panels.row("Cost")
    panels.series(
        "A month like now",
        "none",
        [Query(f"{cost_a_second(part)} * {MONTH_S}", part) for part in PARTS],
        "In the currency of the settings: of the selected workers, and of the broker's disks for "
        "all topics. The disks are missing while the broker does not tell the workers.",
    )
    # Only the disks may be unknown; then the rest is still worth its figure.
    everything = " + ".join(
        f"({cost_a_second(part)} or vector(0))" if part == "storage" else cost_a_second(part)
        for part in PARTS
    )
    panels.series(
        "A million limits decided",
        "none",
        [
            Query(
                f"1e6 * ({everything}) / {rate('duoshou_events_total', where=APPLIED)}",
                "a million limits",
            )
        ],
        "Everything over the payments, refunds and so on that were applied.",
    )
    panels.series(
        "An application answered, a loan drawn",
        "none",
        [
            Query(
                f"({everything}) / {rate('duoshou_applications_total', where=ANSWERED)}",
                "an application",
            ),
            Query(f"({everything}) / {rate('duoshou_loan_events_total', where=DRAWN)}", "a loan"),
        ],
        "Everything over the applications that were answered, and over the loans that were drawn: "
        "do not add the two. The yardstick is 2 yuan a loan.",
    )
    panels.series(
        "A month of a merchant",
        "none",
        [Query(f"({everything}) * {MONTH_S} / sum(duoshou_rows{{{WORKER}}})", "a merchant")],
        "Everything over the merchants whose rows are held.",
    )
    panels.series(
        "Stored by the broker",
        "bytes",
        [Query(f"max by (kind) (duoshou_stored_bytes{{{WORKER}}})", "{{kind}}")],
        "Bytes on the broker's disks by kind of topic, all replicas; asked every five minutes.",
    )
    panels.series(
        "Written to the broker",
        "Bps",
        [Query(rate("duoshou_written_bytes_total", by="kind"), "{{kind}}")],
        "Bytes a second by kind of topic, as they are on the wire, before they are copied to "
        "other replicas.",
    )
