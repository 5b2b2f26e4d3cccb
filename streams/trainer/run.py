"""Starts a trainer and runs it until it is told to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.brokers.provision import require_topics
from streams.observability.training import TrainingMetrics
from streams.service import run_service
from streams.trainer.app import TrainerApp, make_trainer_app

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings


def run_trainer(settings: Settings, address_file: Path | None = None) -> None:
    """Run a trainer until SIGINT or SIGTERM; ends the process.

    Args:
        settings: validated settings.
        address_file: where to write the address of the metrics page, for whoever chose port 0.

    Raises:
        OperatorError: something the operator has to put right; nothing was started.
    """
    metrics = TrainingMetrics()

    def prepare() -> TrainerApp:
        topics = settings.topics
        require_topics(settings, [topics.examples, topics.models, topics.dead_letters])
        return make_trainer_app(settings, metrics)

    run_service(settings, metrics, prepare, address_file)
