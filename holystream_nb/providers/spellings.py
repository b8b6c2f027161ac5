"""Words that people write before a colon and mean a service by: other spellings, and services that have no entry."""

from __future__ import annotations

from typing import Final

SPELLINGS: Final = {
    "alibaba": "qwen",
    "amazon": "bedrock",
    "amazon-bedrock": "bedrock",
    "anthropic_text": "anthropic",
    "aws": "bedrock",
    "azure-openai": "azure",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "bigmodel": "z.ai",
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
    "zai": "z.ai",
    "zhipu": "z.ai",
    "zhipuai": "z.ai",
}
"""A service's word as other libraries or its makers write it, and the entry that has it."""

SERVICES: Final = frozenset(
    {
        *("ai21", "anthropic", "anyscale", "ark", "azure", "baseten", "bedrock", "chutes", "cloudflare", "cohere"),
        *("copilot", "databricks", "deepinfra", "featherless", "friendli", "github", "github-models", "github_models"),
        *("huggingface", "hyperbolic", "koboldcpp", "lepton", "litellm", "llamafile", "lmdeploy", "localai", "minimax"),
        *("moonshot", "nebius", "novita", "nvidia", "oobabooga", "oci", "openai-compatible", "perplexity", "portkey"),
        *("predibase", "qwen", "ramalama", "replicate", "sagemaker", "sambanova", "sglang", "siliconflow", "snowflake"),
        *("tgi", "upstage", "vercel", "vertex", "watsonx", "workers-ai", "xinference", "z.ai"),
    }
)
"""Services whose word is no model's name, whether or not the table has them."""
