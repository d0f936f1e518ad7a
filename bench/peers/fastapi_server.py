#!/usr/bin/env python3
"""transformers behind FastAPI and uvicorn, as a careful user would write it: the peer of `bertie
serve`. The texts of one request are one batch; the model runs on threads of its own, so that the
event loop goes on taking requests; the tokenizer is the fast one.

usage: fastapi_server.py MODEL [--port 8080] [--threads 2]
POST /invocations takes "text" or ["text", ...] as JSON and answers logits; GET /ping.
"""

import argparse
import asyncio
import concurrent.futures

import torch
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from transformers import BertForSequenceClassification, BertTokenizerFast


def make_app(folder):
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    # One: PyTorch's own threads share a batch, and two batches at once would only disturb them.
    executor = concurrent.futures.ThreadPoolExecutor(max_workers=1)
    app = FastAPI()

    def classify(texts):
        with torch.inference_mode():
            inputs = tokenizer(texts, padding=True, truncation=True, max_length=512,
                               return_tensors="pt")
            return model(**inputs).logits.tolist()

    @app.get("/ping")
    async def ping():
        return {}

    @app.post("/invocations")
    async def invocations(request: Request):
        value = await request.json()
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise HTTPException(400, "expected a text or a list of texts")
        return await asyncio.get_running_loop().run_in_executor(executor, classify, texts)

    return app


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    uvicorn.run(make_app(arguments.model), host="127.0.0.1", port=arguments.port,
                log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
