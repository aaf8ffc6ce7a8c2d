"""Fine-tune an encoder with torch and transformers alone: `python -m benchmarks.peers.raw job.json`.

The loop that a careful person writes once and copies: rows of similar length in a batch, fused AdamW, no decay of
biases and norms, gradients clipped, a rate that rises and falls.
"""

import random
import sys
from collections.abc import Iterator
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer
from transformers.optimization import get_linear_schedule_with_warmup

from benchmarks.peers.job import Job, Rows, class_scores, rows_of, tag_scores

IGNORED = -100


def encoded(job: Job, tokenizer: Any, rows: Rows, ids: dict[str, int]) -> Rows:
    """Tokenize all rows, and add the ids of their labels: one for a sentence, or one for the first token of a word."""
    if job.task == "sst2":
        tokens = tokenizer([row["sentence"] for row in rows], truncation=True, max_length=job.max_length)["input_ids"]
        return [{"input_ids": each, "labels": int(row["label"])} for each, row in zip(tokens, rows, strict=True)]
    words = [row["tokens"] for row in rows]
    batch = tokenizer(words, is_split_into_words=True, truncation=True, max_length=job.max_length)
    done = []
    for i, row in enumerate(rows):
        places = batch.word_ids(i)
        first = [word is not None and word != before for before, word in zip([None, *places], places, strict=False)]
        labels = [ids[row["tags"][word]] if new else IGNORED for word, new in zip(places, first, strict=True)]
        done.append({"input_ids": batch["input_ids"][i], "labels": labels})
    return done


def batches(rows: Rows, size: int, *, shuffled: bool) -> list[list[int]]:
    """Sort rows by length, and shuffle the batches."""
    order = sorted(random.sample(range(len(rows)), len(rows)), key=lambda i: len(rows[i]["input_ids"]))
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    return random.sample(parts, len(parts)) if shuffled else parts


def padded(rows: Rows) -> dict[str, torch.Tensor]:
    """Make a batch."""
    width = max(len(row["input_ids"]) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    by_word = isinstance(rows[0]["labels"], list)
    labels = torch.full_like(ids, IGNORED) if by_word else torch.tensor([row["labels"] for row in rows])
    for i, row in enumerate(rows):
        n = len(row["input_ids"])
        ids[i, :n], mask[i, :n] = torch.tensor(row["input_ids"]), 1
        if by_word:
            labels[i, :n] = torch.tensor(row["labels"])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def train(job: Job, model: Any, rows: Rows) -> None:
    """Train."""
    plan = [batch for _ in range(job.epochs) for batch in batches(rows, job.batch_size, shuffled=True)]
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=job.lr, weight_decay=job.weight_decay, fused=True)
    scheduler = get_linear_schedule_with_warmup(optimizer, int(job.warmup * len(plan)), len(plan))
    model.train()
    for batch in plan:
        model(**padded([rows[i] for i in batch])).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), job.max_grad_norm)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()


@torch.no_grad()
def predicted(job: Job, model: Any, rows: Rows) -> Iterator[tuple[Any, Any]]:
    """Return predicted and true ids of each row."""
    model.eval()
    for batch in batches(rows, 2 * job.batch_size, shuffled=False):
        inputs = padded([rows[i] for i in batch])
        labels = inputs.pop("labels")
        yield from zip(model(**inputs).logits.argmax(-1), labels, strict=True)


def scores(job: Job, model: Any, rows: Rows) -> dict[str, float]:
    """Score the model."""
    pairs = list(predicted(job, model, rows))
    if job.task == "sst2":
        return class_scores([int(p) for p, _ in pairs], [int(t) for _, t in pairs])
    names = model.config.id2label
    kept = [(p[t != IGNORED].tolist(), t[t != IGNORED].tolist()) for p, t in pairs]
    return tag_scores([[names[i] for i in p] for p, _ in kept], [[names[i] for i in t] for _, t in kept])


def main() -> None:
    """Do the job."""
    job = Job.read(sys.argv[1])
    random.seed(job.seed)
    torch.manual_seed(job.seed)
    cls = AutoModelForSequenceClassification if job.task == "sst2" else AutoModelForTokenClassification
    tokenizer, model = AutoTokenizer.from_pretrained(job.model), cls.from_pretrained(job.model)
    train_rows, valid_rows = (
        encoded(job, tokenizer, rows_of(job, path), model.config.label2id) for path in (job.train, job.valid)
    )
    train(job, model, train_rows)
    result = scores(job, model, valid_rows)
    model.save_pretrained(job.output)
    tokenizer.save_pretrained(job.output)
    job.keep(result)


if __name__ == "__main__":
    main()
