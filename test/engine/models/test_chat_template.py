# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A chat template renders as transformers renders it, and cannot do more than that."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from support.models.random_models import CHAT_TEMPLATE, processor

from streamvlm_ros.engine import resolve_model
from streamvlm_ros.engine.models import chat_template
from streamvlm_ros.engine.models.chat_template import render
from streamvlm_ros.engine.models.prompt import Prompt
from streamvlm_ros.engine.models.qwen2_5_vl.model import QWEN2_5_VL

TINY = json.loads((pathlib.Path(resolve_model('tiny')) / 'chat_template.json').read_text())
# What transformers offers besides plain Jinja.
ALL_OFFERS = (
    '  {%- set seen = namespace(count=0) -%}\n'
    '{% for message in messages %}\n'
    '  {% if loop.index > 3 %}{% break %}{% endif %}\n'
    '  {% set seen.count = seen.count + 1 %}{{ seen.count }} {{ message | tojson }}\n'
    '  {% generation %}{{ message.role }}{% endgeneration %}\n'
    '{% endfor %}\n'
    "{{ dict(a=1) | tojson(indent=2) }} {{ strftime_now('%Y') }} {{ tools is none }} "
    '{{ add_generation_prompt }} {{ pad_token is defined }}'
)


def messages(system: str = '') -> list[dict]:
    first = [{'role': 'system', 'content': [{'type': 'text', 'text': system}]}] if system else []
    return [
        *first,
        {
            'role': 'user',
            'content': [
                {'type': 'video', 'video': ''},
                {'type': 'text', 'text': 'Was ist <das>? \U0001f600'},
            ],
        },
    ]


@pytest.mark.parametrize('template', [TINY['chat_template'], CHAT_TEMPLATE, ALL_OFFERS])
@pytest.mark.parametrize('system', ['', 'Sei kurz: "ä" & <b>.'])
def test_renders_as_transformers_does(template: Any, system: str) -> None:
    """The sandbox here and that of transformers are held to the same text."""
    tokenizer = processor().tokenizer
    expected = tokenizer.apply_chat_template(
        messages(system), chat_template=template, tokenize=False, add_generation_prompt=True
    )
    assert (
        render(
            template,
            'x',
            {
                **tokenizer.special_tokens_map,
                'messages': messages(system),
                'tools': None,
                'documents': None,
                'add_generation_prompt': True,
            },
        )
        == expected
    )


@pytest.mark.parametrize(
    ('template', 'sentence'),
    [
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", 'SecurityError'),
        ('{{ namespace(__class__=1) }}', 'SecurityError'),
        ('{% include "/etc/passwd" %}', 'TypeError'),
        ('{{ messages.append(1) }}', 'SecurityError'),
        ("{{ raise_exception('no system prompt') }}", 'no system prompt'),
        ('{% if %}', 'TemplateSyntaxError'),
        ('{{ ' + '(' * 5000 + ')' * 5000 + ' }}', 'RecursionError'),
        ("{{ 'x' * 3000000 }}", 'renders 3000000 characters'),
        ("{{ 'x' * (1024 ** 4) }}", 'MemoryError'),
    ],
)
def test_what_cannot_be_rendered(template: str, sentence: str) -> None:
    """Each is one sentence that names the file."""
    with pytest.raises(
        ValueError, match=r'The chat template folder/a\.jinja cannot be rendered: '
    ) as caught:
        render(template, 'folder/a.jinja', {'messages': messages()})
    assert sentence in str(caught.value)
    assert '..' not in str(caught.value)


@pytest.mark.parametrize(
    'template',
    [
        '{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}',
        '{{ (9 ** (9 ** 9)) % 7 }}',
    ],
)
def test_a_template_without_an_end(monkeypatch: pytest.MonkeyPatch, template: str) -> None:
    """A loop of Jinja's and one inside Python's own arithmetic: the process is ended."""
    monkeypatch.setattr(chat_template, 'SECONDS', 1)
    with pytest.raises(ValueError, match='more than 1 s of computing'):
        render(template, 'x', {'messages': messages()})


def test_a_template_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock ends what takes no computing."""
    monkeypatch.setattr(chat_template, 'PATIENCE', 0.01)
    with pytest.raises(ValueError, match=r'does not end within 0\.01 s'):
        render('{{ 1 }}', 'x', {})


@pytest.mark.parametrize(
    ('template', 'sentence'),
    [
        ('', 'does not put <|vision_start|>'),
        ('<|vision_start|><|video_pad|><|vision_end|>', 'leaves out what is said or seen'),
        (CHAT_TEMPLATE.replace("{{ content['text'] }}", ''), 'leaves out what is said or seen'),
        (CHAT_TEMPLATE.replace('<|im_end|>\n{% endfor', '{% endfor'), 'does not end a turn'),
    ],
)
def test_a_template_of_another_model(template: Any, sentence: str) -> None:
    """What the prompt is cut by has to be there."""
    from dataclasses import replace

    other = replace(processor(), chat_template=template, template_name='folder/a.jinja')
    with pytest.raises(ValueError, match=r'The chat template folder/a\.jinja ') as caught:
        Prompt(other, QWEN2_5_VL, '', [])
    assert sentence in str(caught.value)
