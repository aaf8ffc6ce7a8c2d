"""Serve a classifier as one would without blurr: FastAPI, and the model called for each request; a contestant."""

import os
from typing import Any

import torch
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

FOLDER = "BLURR_BENCHMARK_MODEL"  # the environment variable that says which model


class Asked(BaseModel):
    """What a request holds."""

    inputs: list[str]


def make_app() -> FastAPI:
    """Load the model, and answer POST /predict; FastAPI calls it in threads, for it is no coroutine."""
    folder = os.environ[FOLDER]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    app = FastAPI()

    @app.post("/predict")
    def predict(asked: Asked) -> dict[str, Any]:
        batch = tokenizer(asked.inputs, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            scores, classes = model(**batch).logits.softmax(-1).max(-1)
        names = [model.config.id2label[i] for i in classes.tolist()]
        found = [{"label": label, "score": score} for label, score in zip(names, scores.tolist(), strict=True)]
        return {"predictions": found}

    return app
