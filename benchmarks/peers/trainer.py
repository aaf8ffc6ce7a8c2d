"""Fine-tune by transformers' Trainer, as its examples do: `python -m benchmarks.peers.trainer job.json`."""

import sys
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    Trainer,
    TrainingArguments,
    set_seed,
)

from benchmarks.peers.job import Job, class_scores, rows_of, summary_scores, tag_scores

MODELS = {
    "sst2": AutoModelForSequenceClassification,
    "wnut17": AutoModelForTokenClassification,
    "dialogsum": AutoModelForSeq2SeqLM,
}
COLLATORS = {
    "sst2": DataCollatorWithPadding,
    "wnut17": DataCollatorForTokenClassification,
    "dialogsum": DataCollatorForSeq2Seq,
}


class Rows:
    """Tokenize rows, and score what a model makes of them."""

    def __init__(self, job: Job, tokenizer: Any, model: Any) -> None:
        self.job, self.tokenizer, self.ids, self.names = job, tokenizer, model.config.label2id, model.config.id2label

    def encode(self, batch: dict[str, list[Any]]) -> dict[str, Any]:
        """Tokenize for the task."""
        job, tokenizer = self.job, self.tokenizer
        if job.task == "sst2":
            inputs = tokenizer(batch["sentence"], truncation=True, max_length=job.max_length)
            return {**inputs, "labels": [int(label) for label in batch["label"]]}
        if job.task == "dialogsum":
            inputs = tokenizer(batch["dialogue"], truncation=True, max_length=job.max_length)
            targets = tokenizer(text_target=batch["summary"], truncation=True, max_length=job.max_length)
            return {**inputs, "labels": targets["input_ids"]}
        inputs = tokenizer(batch["tokens"], is_split_into_words=True, truncation=True, max_length=job.max_length)
        return {**inputs, "labels": [self.aligned(inputs.word_ids(i), tags) for i, tags in enumerate(batch["tags"])]}

    def aligned(self, places: list[int | None], tags: list[str]) -> list[int]:
        """Give the first token of each word its tag."""
        labels = []
        before = None
        for word in places:
            labels.append(-100 if word is None or word == before else self.ids[tags[word]])
            before = word
        return labels

    def scores(self, outcome: Any) -> dict[str, float]:
        """Score predictions of the validation rows."""
        predictions, labels = outcome
        if self.job.task == "sst2":
            return class_scores(predictions.argmax(-1), labels)
        if self.job.task == "dialogsum":
            texts = [self.texts(ids) for ids in (predictions, labels)]
            return summary_scores(*texts)
        best = predictions.argmax(-1)
        kept = [(p[t != -100], t[t != -100]) for p, t in zip(best, labels, strict=True)]
        return tag_scores(*([[self.names[i] for i in pair[side]] for pair in kept] for side in (0, 1)))

    def texts(self, ids: Any) -> list[str]:
        """Decode, with padding in place of what is ignored."""
        filled = np.where(ids != -100, ids, self.tokenizer.pad_token_id)
        return [text.strip() for text in self.tokenizer.batch_decode(filled, skip_special_tokens=True)]


def arguments(job: Job) -> TrainingArguments:
    """Say the job in Trainer's words."""
    options = {
        "learning_rate": job.lr,
        "lr_scheduler_type": "linear",
        "warmup_steps": job.warmup,
        "weight_decay": job.weight_decay,
        "max_grad_norm": job.max_grad_norm,
        "num_train_epochs": job.epochs,
        "per_device_train_batch_size": job.batch_size,
        "per_device_eval_batch_size": 2 * job.batch_size,
        "eval_strategy": "epoch",
        "save_strategy": "no",
        "logging_steps": 10,
        "seed": job.seed,
        "use_cpu": True,
        "report_to": "mlflow" if job.store else "none",
        "train_sampling_strategy": "group_by_length" if job.grouped else "random",
    }
    if job.task == "dialogsum":
        extra = {"predict_with_generate": True, "generation_max_length": job.new_tokens + 1}
        return Seq2SeqTrainingArguments(job.output, **options, **extra)
    return TrainingArguments(job.output, **options)


def main() -> None:
    """Do the job."""
    job = Job.read(sys.argv[1])
    set_seed(job.seed)
    tokenizer, model = AutoTokenizer.from_pretrained(job.model), MODELS[job.task].from_pretrained(job.model)
    rows = Rows(job, tokenizer, model)
    train, valid = (Dataset.from_list(rows_of(job, path)) for path in (job.train, job.valid))
    collator = COLLATORS[job.task](tokenizer)
    trainer = (Seq2SeqTrainer if job.task == "dialogsum" else Trainer)(
        model=model,
        args=arguments(job),
        train_dataset=train.map(rows.encode, batched=True, remove_columns=train.column_names),
        eval_dataset=valid.map(rows.encode, batched=True, remove_columns=valid.column_names),
        data_collator=collator,
        processing_class=tokenizer,
        compute_metrics=rows.scores,
    )
    trainer.train()
    last = [entry for entry in trainer.state.log_history if "eval_loss" in entry][-1]
    trainer.save_model(job.output)
    job.keep({name.removeprefix("eval_"): value for name, value in last.items() if name.startswith("eval_")})


if __name__ == "__main__":
    main()
