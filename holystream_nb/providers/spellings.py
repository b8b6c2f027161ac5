"""Words that people write before a colon and mean a service by: other spellings, and services that have no entry."""

from __future__ import annotations

from typing import Final

SPELLINGS: Final = {
    "alibaba": "qwen",
    "amazon": "bedrock",
    "amazon-bedrock": "bedrock",
    "aws": "bedrock",
    "azure-openai": "azure",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "bigmodel": "zhipuai",
    "bytedance": "ark",
    "claude": "anthropic",
    "dashscope": "qwen",
    "doubao": "ark",
    "fireworks-ai": "fireworks",
    "fireworks_ai": "fireworks",
    "google": "gemini",
    "google-ai": "gemini",
    "google-vertex": "vertex",
    "google_vertexai": "vertex",
    "grok": "xai",
    "hf": "huggingface",
    "hugging-face": "huggingface",
    "kimi": "moonshot",
    "llama-cpp": "llama.cpp",
    "llama_cpp": "llama.cpp",
    "llamacpp": "llama.cpp",
    "lm_studio": "lm-studio",
    "lmstudio": "lm-studio",
    "mistralai": "mistral",
    "moonshotai": "moonshot",
    "nim": "nvidia",
    "nvidia_nim": "nvidia",
    "ollama_chat": "ollama",
    "open-router": "openrouter",
    "sim": "simulator",
    "together-ai": "together",
    "together_ai": "together",
    "togetherai": "together",
    "vertex-ai": "vertex",
    "vertex_ai": "vertex",
    "volcengine": "ark",
    "x-ai": "xai",
    "x.ai": "xai",
    "z.ai": "zai",
    "zhipu": "zhipuai",
}
"""A service's word as other libraries or its makers write it, and the entry that has it."""

SERVICES: Final = frozenset(
    {
        *("ai21", "anyscale", "baseten", "chutes", "cloudflare", "copilot", "databricks", "featherless", "friendli"),
        *("koboldcpp", "lepton", "llamafile", "lmdeploy", "localai", "oci", "oobabooga", "openai-compatible"),
        *("predibase", "ramalama", "replicate", "sagemaker", "sglang", "snowflake", "tgi", "upstage", "vercel"),
        *("watsonx", "workers-ai", "xinference"),
    }
)
"""Services without an entry (`unavailable.toml` has those that none can have): their words are no models' names."""
