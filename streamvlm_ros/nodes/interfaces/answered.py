# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Services that answer their client even if their callback fails."""

from __future__ import annotations

from collections.abc import Callable
import inspect
from typing import Any

from rcl_interfaces.msg import ParameterType, SetParametersResult
from rclpy.service import Service

from streamvlm_ros.engine import ErrorCode, StreamError
from streamvlm_ros.nodes.faults import Faults
from streamvlm_ros.nodes.interfaces import messages
from streamvlm_ros.nodes.texts import quoted, sentence

# Longest texts of a request, in characters. Questions and choices are bounded in tokens, by the
# engine.
LONGEST = {'name': 255, 'path': 4096}
# Most items of a request about parameters: rclpy serves nothing else until it has read all.
MOST_ITEMS = 256
LISTS = ('parameters', 'names', 'prefixes')


def answer_always(service: Service[Any, Any], faults: Faults) -> None:
    """Let a service answer with a fault if its callback raises.

    rclpy sends nothing then, and the caller would wait for ever.
    """
    service.callback = answered(service.callback, faults, f'The service {service.srv_name}')


def answered(
    callback: Callable[[Any, Any], Any], faults: Faults, where: str
) -> Callable[[Any, Any], Any]:
    """Return a service's callback, or coroutine, as a coroutine that raises nothing.

    Args:
        callback: takes a request and a response, and returns the response.
        faults: counts what it raises but StreamErrors, which are those of the request.
        where: what is served, as a sentence's beginning.

    """

    async def serve(request: Any, response: Any) -> Any:
        try:
            check_request(request)
            result = callback(request, response)
            return await result if inspect.isawaitable(result) else result
        except StreamError as error:
            return refusal(request, type(response)(), error)
        except Exception as error:
            return refusal(request, type(response)(), faults.caught(error, where))

    return serve


def check_request(request: Any) -> None:
    """Refuse a request with too long a name, path or list, or with a value of an impossible type.

    Nothing has checked it before; rclpy raises if a parameter has an impossible type.

    Raises:
        StreamError: INVALID_REQUEST.

    """
    for name, most in LONGEST.items():
        text = getattr(request, name, '')
        if isinstance(text, str) and len(text) > most:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'The {name} has {len(text)} characters; give at most {most}.',
            )
    for name in LISTS:
        number = len(getattr(request, name, ()))
        if number > MOST_ITEMS:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'The request has {number} {name}; give at most {MOST_ITEMS} at once.',
            )
    for parameter in getattr(request, 'parameters', ()):
        if parameter.value.type > ParameterType.PARAMETER_STRING_ARRAY:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'The parameter {quoted(parameter.name)} has a value of the type '
                f'{parameter.value.type}; there are types from 0 to '
                f'{ParameterType.PARAMETER_STRING_ARRAY} (rcl_interfaces/msg/ParameterType).',
            )


def refusal(request: Any, response: Any, error: StreamError) -> Any:
    """Fill a new response with a fault, in the fields that its type has."""
    fields = response.get_fields_and_field_types()
    if 'error_code' in fields:
        return messages.fill_failure(response, error)
    refused = SetParametersResult(successful=False, reason=sentence(str(error)))
    if 'message' in fields:
        response.message = refused.reason
    elif 'results' in fields:  # of set_parameters: one for each
        response.results = [refused for _ in request.parameters[:MOST_ITEMS]]
    elif 'result' in fields and isinstance(response.result, SetParametersResult):
        response.result = refused
    return response
