"""Inference in this process: llama.cpp for text, ONNX Runtime for embeddings."""
