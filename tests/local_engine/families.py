"""Tiny models of real families: each with its own tokenizer shape, special tokens, chat template and architecture.

`tiny_model_dir(family, folder)` saves a model that loads like the real one (a few thousand parameters, vocabulary about 500,
random weights). Templates that trl ships are taken from the installed trl; the others are written here, faithful to the shape
that the family publishes. Nothing is downloaded.
"""

# ruff: noqa: E501  (templates are kept as their families write them)

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

VOCAB = 480
CORPUS = [
    "The capital of France is Paris. The capital of Peru is Lima, and the capital of Japan is Tokyo.",
    "What is the weather in Oslo? It is 7 degrees and raining; take an umbrella with you!",
    'get_weather {"city": "Oslo", "unit": "celsius"} returns {"degrees": 7, "sky": "rain"} and name, arguments, parameters',
    "You are a helpful assistant. Answer the user in one short sentence, please. Hello, how are you today?",
    "system user assistant tool model <tool_call> </tool_call> <tool_response> function description type object",
    "Übung macht den Meister; naïve café; 東京は日本の首都です。 Привет, мир! 🙂 números",
    "12345 67890 x = y + 1\n\n\tdef f(a, b): return a",
] * 4

MISTRAL_TEMPLATE = """\
{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace(index=0) %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {{- tool | tojson }}
                {%- if not loop.last %}{{- ", " }}{%- endif %}
            {%- endfor %}
            {{- "][/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function | tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id | length != 9 %}
                {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token }}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
        {%- if not message.tool_call_id is defined or message.tool_call_id | length != 9 %}
            {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
        {%- endif %}
        {{- '"call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial optional system message!") }}
    {%- endif %}
{%- endfor %}
"""

MIXTRAL_TEMPLATE = """\
{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}\
{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}\
{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}\
{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"""

GRANITE_TEMPLATE = """\
{%- if tools %}
    {{- '<|start_of_role|>available_tools<|end_of_role|>\\n' }}
    {%- for tool in tools %}
        {{- tool | tojson(indent=4) }}
        {%- if not loop.last %}{{- '\\n\\n' }}{%- endif %}
    {%- endfor %}
    {{- '<|end_of_text|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message['role'] == 'system' %}
        {{- '<|start_of_role|>system<|end_of_role|>' + message['content'] + '<|end_of_text|>\\n' }}
    {%- elif message['role'] == 'user' %}
        {{- '<|start_of_role|>user<|end_of_role|>' + message['content'] + '<|end_of_text|>\\n' }}
    {%- elif message['role'] == 'assistant' and message.tool_calls %}
        {{- '<|start_of_role|>assistant<|end_of_role|><|tool_call|>' }}
        {{- '[' }}
        {%- for call in message.tool_calls %}
            {{- {"name": call.function.name, "arguments": call.function.arguments} | tojson }}
            {%- if not loop.last %}{{- ', ' }}{%- endif %}
        {%- endfor %}
        {{- ']<|end_of_text|>\\n' }}
    {%- elif message['role'] == 'assistant' %}
        {{- '<|start_of_role|>assistant<|end_of_role|>' + message['content'] + '<|end_of_text|>\\n' }}
    {%- elif message['role'] == 'tool' %}
        {{- '<|start_of_role|>tool_response<|end_of_role|>' + message['content'] + '<|end_of_text|>\\n' }}
    {%- endif %}
    {%- if loop.last and add_generation_prompt %}
        {{- '<|start_of_role|>assistant<|end_of_role|>' }}
    {%- endif %}
{%- endfor %}"""

OLMO2_TEMPLATE = """\
{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ '<|system|>\\n' + message['content'] + '\\n' }}\
{% elif message['role'] == 'user' %}{{ '<|user|>\\n' + message['content'] + '\\n' }}\
{% elif message['role'] == 'assistant' %}{% if not loop.last %}{{ '<|assistant|>\\n' + message['content'] + eos_token + '\\n' }}\
{% else %}{{ '<|assistant|>\\n' + message['content'] + eos_token }}{% endif %}{% endif %}\
{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}{% endfor %}"""


@dataclass(frozen=True)
class Family:
    """How one family looks. `specials` are added tokens in order; `plain_added` are added, but not special (Qwen's think)."""

    shape: str  # "bytes": byte-level BPE; "metaspace": sentencepiece-like BPE with byte fallback
    config: str  # the transformers configuration class
    model: str
    specials: tuple[str, ...]
    eos: str
    bos: str | None = None
    pad: str | None = None
    template: str | None = None  # a trl file name, or the template's own text
    plain_added: tuple[str, ...] = ()
    stop: str = ""  # what ends an assistant turn
    tokenizer_class: str = "PreTrainedTokenizerFast"
    strips_right: tuple[str, ...] = ()  # added tokens that swallow the whitespace behind them
    extra: dict[str, Any] = field(default_factory=dict)


_QWEN = Family(
    shape="bytes",
    config="Qwen3Config",
    model="Qwen3ForCausalLM",
    specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    plain_added=("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"),
    eos="<|im_end|>",
    pad="<|endoftext|>",
    template="qwen3.jinja",
    stop="<|im_end|>",
    tokenizer_class="Qwen2Tokenizer",
    extra={"head_dim": 16},
)
_MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "decoder_sparse_step": 1}
_HEADERS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
)
_MISTRAL_SPECIALS = (
    *("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]"),
    *("[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
)

FAMILIES: dict[str, Family] = {
    "qwen3": _QWEN,
    "qwen3_moe": replace(_QWEN, config="Qwen3MoeConfig", model="Qwen3MoeForCausalLM", extra={**_QWEN.extra, **_MOE}),
    "llama": Family(
        shape="bytes",
        config="LlamaConfig",
        model="LlamaForCausalLM",
        specials=_HEADERS,
        bos="<|begin_of_text|>",
        eos="<|eot_id|>",
        template="llama3_1.jinja",
        stop="<|eot_id|>",
    ),
    "mistral": Family(
        shape="metaspace",
        config="MistralConfig",
        model="MistralForCausalLM",
        specials=_MISTRAL_SPECIALS,
        bos="<s>",
        eos="</s>",
        template=MISTRAL_TEMPLATE,
        stop="</s>",
        extra={"sliding_window": None},
    ),
    "mixtral": Family(
        shape="metaspace",
        config="MixtralConfig",
        model="MixtralForCausalLM",
        specials=("<unk>", "<s>", "</s>"),
        bos="<s>",
        eos="</s>",
        template=MIXTRAL_TEMPLATE,
        stop="</s>",
        extra={"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
    ),
    "gemma3": Family(
        shape="metaspace",
        config="Gemma3TextConfig",
        model="Gemma3ForCausalLM",
        specials=("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"),
        bos="<bos>",
        eos="<eos>",
        pad="<pad>",
        template="gemma3.jinja",
        stop="<end_of_turn>",
        extra={"head_dim": 16, "sliding_window": 64, "query_pre_attn_scalar": 16},
    ),
    "phi3": Family(
        shape="metaspace",
        config="Phi3Config",
        model="Phi3ForCausalLM",
        specials=("<unk>", "<s>", "</s>", "<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"),
        bos="<s>",
        eos="<|endoftext|>",
        pad="<|endoftext|>",
        template="phi3.jinja",
        stop="<|end|>",
        strips_right=("<|assistant|>", "<|system|>", "<|end|>", "<|user|>"),
        extra={"pad_token_id": 3},
    ),
    "gpt2": Family(
        shape="bytes",
        config="GPT2Config",
        model="GPT2LMHeadModel",
        specials=("<|endoftext|>",),
        bos="<|endoftext|>",
        eos="<|endoftext|>",
        stop="<|endoftext|>",
        tokenizer_class="GPT2Tokenizer",
    ),
    "granite": Family(
        shape="bytes",
        config="GraniteConfig",
        model="GraniteForCausalLM",
        specials=("<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>"),
        bos="<|end_of_text|>",
        eos="<|end_of_text|>",
        pad="<|end_of_text|>",
        template=GRANITE_TEMPLATE,
        stop="<|end_of_text|>",
    ),
    "olmo2": Family(
        shape="bytes",
        config="Olmo2Config",
        model="Olmo2ForCausalLM",
        specials=("<|endoftext|>", "<|pad|>"),
        bos="<|endoftext|>",
        eos="<|endoftext|>",
        pad="<|pad|>",
        template=OLMO2_TEMPLATE,
        stop="<|endoftext|>",
    ),
}


def chat_template(family: str) -> str | None:
    """The family's chat template, or None where the family has none (GPT-2)."""
    name = FAMILIES[family].template
    if name is None or not name.endswith(".jinja"):
        return name
    import trl

    return (Path(trl.__file__).parent / "chat_templates" / name).read_text(encoding="utf-8")


@cache
def _tokenizer_json(family: str) -> str:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    it = FAMILIES[family]
    every = [*it.specials, *it.plain_added]
    if it.shape == "bytes":
        tokenizer = Tokenizer(models.BPE())
        words = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        split = words + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        gpt2 = family == "gpt2"
        tokenizer.pre_tokenizer = (
            pre_tokenizers.ByteLevel(add_prefix_space=False)
            if gpt2
            else pre_tokenizers.Sequence(
                [
                    pre_tokenizers.Split(Regex(split), "isolated"),
                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
                ]
            )
        )
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        alphabet = []
        every += [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=every, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    # The byte pieces are ordinary vocabulary, and which added tokens are special is the family's own choice.
    whole = json.loads(tokenizer.to_str())
    whole["added_tokens"] = []
    tokenizer = Tokenizer.from_str(json.dumps(whole))
    tokenizer.add_special_tokens([AddedToken(t, special=True, rstrip=t in it.strips_right) for t in it.specials])
    tokenizer.add_tokens([AddedToken(t, special=False) for t in it.plain_added])
    return tokenizer.to_str()


def tiny_tokenizer_dir(family: str, folder: Path, *, template: str | None = None) -> Path:
    """Save the family's tokenizer files as its own repositories hold them; `template` replaces the family's."""
    it = FAMILIES[family]
    folder.mkdir(parents=True, exist_ok=True)
    text = _tokenizer_json(family)
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    config: dict[str, Any] = {
        "tokenizer_class": it.tokenizer_class,
        "bos_token": it.bos,
        "eos_token": it.eos,
        "pad_token": it.pad,
        "unk_token": "<unk>" if "<unk>" in it.specials else (it.eos if it.tokenizer_class == "GPT2Tokenizer" else None),
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
        "model_max_length": 512,
        "added_tokens_decoder": {
            str(token["id"]): {key: value for key, value in token.items() if key != "id"}
            for token in json.loads(text)["added_tokens"]
        },
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    template = template or chat_template(family)
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder


def tiny_model_dir(family: str, folder: Path) -> Path:
    """Save a whole tiny model of `family` (tokenizer, config, generation config, safetensors) in `folder`; seed 0."""
    import torch
    import transformers

    it = FAMILIES[family]
    tiny_tokenizer_dir(family, folder)
    ids = json.loads(_tokenizer_json(family))["added_tokens"]
    by_text = {token["content"]: token["id"] for token in ids}
    shape: dict[str, Any] = {
        "vocab_size": 512,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 512,
    }
    if family == "gpt2":
        shape = {"vocab_size": 512, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 512}
    config = getattr(transformers, it.config)(
        **{
            **shape,
            "bos_token_id": by_text[it.bos] if it.bos else None,
            "eos_token_id": by_text[it.eos],
            "pad_token_id": by_text[it.pad] if it.pad else None,
            **it.extra,
        }
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, it.model)(config)
    model.generation_config.eos_token_id = sorted({by_text[it.eos], by_text[it.stop]})
    model.save_pretrained(folder)
    return folder
