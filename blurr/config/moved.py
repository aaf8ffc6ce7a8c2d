"""Translate the names that earlier versions of blurr wrote into configs, model folders and exports."""

from collections.abc import Mapping
from typing import Any

# Names of versions before 0.2 to today's: modules, and the functions and classes that left theirs. Nothing that blurr
# once wrote goes stale, so an entry stays; where a name moves again, its entry changes.
MOVED: Mapping[str, str] = {
    "blurr.annotations": "blurr.config.annotations",
    "blurr.building": "blurr.config.building",
    "blurr.checks": "blurr.config.checks",
    "blurr.composing": "blurr.config.composing",
    "blurr.data.batching": "blurr.loading.rows",
    "blurr.data.bucketing": "blurr.loading.bucketing",
    "blurr.data.cache": "blurr.loading.cache",
    "blurr.data.columns": "blurr.loading.columns",
    "blurr.data.commands": "blurr.loading.commands",
    "blurr.data.conll": "blurr.data.formats.conll",
    "blurr.data.decoding": "blurr.data.formats.content",
    "blurr.data.samples_language_modeling": "blurr.text.language_modeling.samples",
    "blurr.data.samples_question_answering": "blurr.text.question_answering.samples",
    "blurr.data.samples_token_classification": "blurr.text.token_classification.samples",
    "blurr.data.samples_translation": "blurr.text.seq2seq.samples",
    "blurr.data.squad": "blurr.data.formats.squad",
    "blurr.explain": "blurr.config.explain",
    "blurr.garbage": "blurr.process.garbage",
    "blurr.interruption": "blurr.process.signals",
    "blurr.paths": "blurr.config.paths",
    "blurr.quiet": "blurr.process.quiet",
    "blurr.report.answers": "blurr.report.spans",
    "blurr.report.card": "blurr.report.overview",
    "blurr.report.entities": "blurr.report.spans",
    "blurr.report.html": "blurr.report.page",
    "blurr.report.lengths": "blurr.report.curves",
    "blurr.report.perplexity": "blurr.report.numbers",
    "blurr.report.record": "blurr.runs.record",
    "blurr.reproduce.Record": "blurr.runs.record.Record",
    "blurr.resume": "blurr.runs.resume",
    "blurr.serve.places": "blurr.serve.model_folder",
    "blurr.signatures": "blurr.config.signatures",
    "blurr.startup": "blurr.process.startup",
    "blurr.sweep.conductor": "blurr.sweep.scheduler",
    "blurr.sweep.goals": "blurr.sweep.objectives",
    "blurr.sweep.nursery": "blurr.sweep.fork_server",
    "blurr.sweep.running": "blurr.sweep.run",
    "blurr.terminal": "blurr.process.terminal",
    "blurr.text.attention": "blurr.models.attention",
    "blurr.text.data.blocks": "blurr.text.blocks",
    "blurr.text.data.chunking": "blurr.text.language_modeling.chunking",
    "blurr.text.data.core": "blurr.loading.dataloader",
    "blurr.text.data.language_modeling": "blurr.text.language_modeling.rows",
    "blurr.text.data.languages": "blurr.text.seq2seq.languages",
    "blurr.text.data.lengths": "blurr.loading.lengths",
    "blurr.text.data.masking": "blurr.text.language_modeling.masking",
    "blurr.text.data.packing": "blurr.text.language_modeling.packing",
    "blurr.text.data.question_answering": "blurr.text.question_answering.rows",
    "blurr.text.data.seq2seq": "blurr.text.seq2seq.rows",
    "blurr.text.data.words": "blurr.text.token_classification.words",
    "blurr.text.hf_objects": "blurr.models.objects",
    "blurr.text.metrics": "blurr.metrics.classification",
    "blurr.text.metrics.Metric": "blurr.metrics.base.Metric",
    "blurr.text.metrics.StreamedMetric": "blurr.metrics.streamed.StreamedMetric",
    "blurr.text.metrics_generation": "blurr.metrics.meaning",
    "blurr.text.metrics_language_modeling": "blurr.text.language_modeling.metrics",
    "blurr.text.metrics_question_answering": "blurr.text.question_answering.metrics",
    "blurr.text.metrics_rows": "blurr.metrics.streamed",
    "blurr.text.metrics_rows.WorstGroup": "blurr.metrics.rows.WorstGroup",
    "blurr.text.metrics_summarization": "blurr.metrics.rouge",
    "blurr.text.metrics_token_classification": "blurr.text.token_classification.metrics",
    "blurr.text.metrics_translation": "blurr.metrics.bleu",
    "blurr.text.modeling.causality": "blurr.text.language_modeling.causality",
    "blurr.text.modeling.core": "blurr.training.learner",
    "blurr.text.modeling.decoder": "blurr.models.decoder",
    "blurr.text.modeling.filling": "blurr.text.language_modeling.filling",
    "blurr.text.modeling.generation": "blurr.targets.generation",
    "blurr.text.modeling.generation.BlearnerForGeneration": "blurr.targets.texts.BlearnerForGeneration",
    "blurr.text.modeling.generation.blurr_generate": "blurr.targets.texts.blurr_generate",
    "blurr.text.modeling.interpretation": "blurr.training.interpretation",
    "blurr.text.modeling.losses": "blurr.models.losses",
    "blurr.text.modeling.no_answer": "blurr.text.question_answering.no_answer",
    "blurr.text.modeling.spans": "blurr.text.question_answering.spans",
    "blurr.text.modeling.threshold": "blurr.targets.threshold",
    "blurr.text.modeling.tokens": "blurr.text.token_classification.learner",
    "blurr.text.modeling.wrapper": "blurr.models.wrapper",
    "blurr.text.tasks.base": "blurr.tasks.base",
    "blurr.text.tasks.base.Evaluation": "blurr.metrics.outcome.Evaluation",
    "blurr.text.tasks.blocks": "blurr.text.task_blocks",
    "blurr.text.tasks.language_modeling": "blurr.text.language_modeling.causal_lm",
    "blurr.text.tasks.question_answering": "blurr.text.question_answering.task",
    "blurr.text.tasks.saved": "blurr.tasks.saved",
    "blurr.text.tasks.seq2seq": "blurr.text.seq2seq.task",
    "blurr.text.tasks.sequence_classification": "blurr.text.sequence_classification",
    "blurr.text.tasks.summarization": "blurr.text.seq2seq.summarization",
    "blurr.text.tasks.token_classification": "blurr.text.token_classification.task",
    "blurr.text.tasks.tokenized": "blurr.tasks.encoding",
    "blurr.text.tasks.translation": "blurr.text.seq2seq.translation",
    "blurr.text.weights": "blurr.models.weights",
    "blurr.threads": "blurr.process.threads",
    "blurr.tracking.callback": "blurr.training.tracking",
    "blurr.tracking.journal": "blurr.runs.journal",
    "blurr.tracking.masking": "blurr.runs.secrets",
    "blurr.tracking.records": "blurr.runs.jsonlines",
    "blurr.tracking.reporting": "blurr.training.tracking",
    "blurr.tracking.run.MLflowTracker": "blurr.tracking.trackers.MLflowTracker",
    "blurr.tracking.run.NoTracker": "blurr.tracking.trackers.NoTracker",
    "blurr.tracking.run.StoppedRun": "blurr.tracking.processes.StoppedRun",
    "blurr.tracking.status": "blurr.tracking.processes",
    "blurr.training.accumulation": "blurr.training.callbacks.gradient_accumulation",
    "blurr.training.averaging": "blurr.training.callbacks.ema",
    "blurr.training.balance": "blurr.training.callbacks.class_balance",
    "blurr.training.features": "blurr.training.callbacks.cache_frozen_features",
    "blurr.training.memory": "blurr.training.callbacks.gradient_checkpointing",
    "blurr.training.outputs": "blurr.training.callbacks.model_outputs",
    "blurr.training.watching": "blurr.training.callbacks.save_best",
    "blurr.training.watching.EarlyStopping": "blurr.training.callbacks.early_stopping.EarlyStopping",
    "blurr.trust": "blurr.config.trust",
}


def current_name(name: str) -> str:
    """Return the dotted name under which something stands today.

    Args:
        name: of a module, a function, a class or a method, as any version of blurr had it; others stay as they are.
    """
    parts = name.split(".")
    for end in range(len(parts), 1, -1):
        known = ".".join(parts[:end])
        if known in MOVED:
            return ".".join([MOVED[known], *parts[end:]])
    return name


def with_current_names(config: Any) -> Any:
    """Return a copy of a config, as plain values, whose `_target_`s have the names of today."""
    if isinstance(config, dict):
        return {
            key: current_name(value) if key == "_target_" and isinstance(value, str) else with_current_names(value)
            for key, value in config.items()
        }
    return [with_current_names(each) for each in config] if isinstance(config, list) else config
