# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Four cameras in one process: one model, four streams, each asked about its own."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import dataclasses
import pathlib
import signal
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import ListParameters, SetParameters
from rclpy.parameter import Parameter as RosParameter
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool, Trigger
from support.nodes.node_process import Camera, make_image, NodeProcess, SECOND

from streamvlm_ros.engine import (
    load_processor,
    resolve_model,
    StreamQwenModel,
    StreamSettings,
    VideoStreamingInference,
)
from streamvlm_ros.msg import StreamStatus
from streamvlm_ros.nodes.parameters.table import PARAMETERS
from streamvlm_ros.scenes.questions import Question, questions_for
from streamvlm_ros.scenes.scene import make_scene, Scene
from streamvlm_ros.srv import Ask, AskChoice, ListWatches
from training.plan import HELD_OUT_SEED

NAMES = ('front', 'rear', 'left', 'right')
SECONDS = 8.0
EACH = 8  # questions about each scene, in turn as free text and as a choice
COMMON = 'What colour is the light now?'
TIME = 60.0
# As a launch file gives them, and with what is one camera's own behind what all have.
PARAMETERS_FILE = """
/**:
  ros__parameters:
    cameras: [front, rear, left, right]
    sample_rate: 0.0
    capacity: 4096
    max_new_tokens: 16
/robot/left/streamvlm:
  ros__parameters:
    max_new_tokens: 2
    device: cuda:7
    watches: light | Is the light red? | yes, no | hold 1
"""


@dataclasses.dataclass
class Rig:
    """The process, and a camera and client for each of its streams."""

    process: NodeProcess
    cameras: dict[str, Camera]
    folder: pathlib.Path

    def __getitem__(self, name: str) -> Camera:
        return self.cameras[name]


@pytest.fixture(scope='module')
def rig(domain: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp('cameras')
    file = folder / 'cameras.yaml'
    file.write_text(PARAMETERS_FILE)
    given: dict[str, Any] = {'model': 'tiny', 'device': 'cpu', 'save_folder': folder / 'saved'}
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(
            NodeProcess(folder, file, namespace='robot', cameras=NAMES, **given)
        )
        cameras = {
            name: stack.enter_context(
                Camera(process, topic=f'/robot/{name}/image', name=f'/robot/{name}/streamvlm')
            )
            for name in NAMES
        }
        for camera in cameras.values():
            camera.wait_ready()
        yield Rig(process, cameras, folder)
        assert process.stop(signal.SIGINT) == 0
        assert 'Traceback' not in process.log()


def emptied(camera: Camera) -> Camera:
    assert camera.call(Trigger, 'reset', Trigger.Request(), TIME).success
    camera.wait_status(lambda status: status.state == StreamStatus.WAITING_FOR_IMAGES)
    return camera


def taken(camera: Camera) -> StreamStatus:
    """Wait until the node has dealt with all images that were ever published."""
    expected = camera.published
    return camera.wait_status(lambda s: s.frames_received == expected and not s.frames_waiting)


def picture(scene: Scene, number: int) -> Image:
    pixels = scene.frames[number]
    image = Image(height=pixels.shape[0], width=pixels.shape[1], encoding='rgb8')
    image.step = 3 * image.width
    stamp = scene.stamps_ns[number]
    image.header.stamp.sec, image.header.stamp.nanosec = divmod(stamp, SECOND)
    image.data.frombytes(pixels.tobytes())
    return image


def scenes_of_other_lights() -> list[Scene]:
    """Return scenes whose lights have each its own colour at the end."""
    found: dict[str, Scene] = {}
    for seed in range(HELD_OUT_SEED + 700, HELD_OUT_SEED + 800):
        scene = make_scene(seed, seconds=SECONDS, fps=2.0, size=(320, 240))
        if scene.light and len(scene.light.times) == 1 and len(asked(scene)) == EACH:
            found.setdefault(scene.light.colour(SECONDS), scene)
    assert len(found) == len(NAMES)
    return list(found.values())


def asked(scene: Scene) -> list[Question]:
    return questions_for(scene, SECONDS)[:EACH]


def expected_answers(scene: Scene) -> list[str]:
    """Return the answers of an engine that has the model for itself."""
    path = resolve_model('tiny')
    model = StreamQwenModel.from_pretrained(path, dtype='float32')
    engine = VideoStreamingInference(
        model, load_processor(path), settings=StreamSettings(sample_rate=0.0)
    )
    for frame, stamp in zip(scene.frames, scene.stamps_ns):
        engine.append_frame(frame, stamp)
    answers = [
        engine.ask_choice(q.text, q.choices).text if i % 2 else engine.ask(q.text, 16)[0]
        for i, q in enumerate(asked(scene))
    ]
    return [*answers, engine.ask(COMMON, 16)[0]]


def start_asking(camera: Camera, scene: Scene) -> list[Any]:
    calls = []
    for i, question in enumerate(asked(scene)):
        kind, name = (AskChoice, 'ask_choice') if i % 2 else (Ask, 'ask')
        request = kind.Request(question=question.text, timeout=TIME)
        if i % 2:
            request.choices = list(question.choices)
        else:
            request.max_new_tokens = 16
        calls.append(camera.start_call(kind, name, request))
    request = Ask.Request(question=COMMON, timeout=TIME, max_new_tokens=16)
    return [*calls, camera.start_call(Ask, 'ask', request)]


def test_each_answers_about_its_own_stream(rig: Rig) -> None:
    """The answers are true, and those of a node that has one camera only."""
    scenes = dict(zip(NAMES, scenes_of_other_lights()))
    for number in range(len(scenes['front'].frames)):
        for name, scene in scenes.items():
            rig[name].publish(picture(scene, number))
    for name in NAMES:
        assert taken(rig[name]).frames_dropped == 0
    calls = {name: start_asking(rig[name], scenes[name]) for name in NAMES}
    right = 0
    common = []
    for name, scene in scenes.items():
        assert rig[name].wait_until(lambda name=name: all(c.done() for c in calls[name]), TIME)
        answers = [call.result().answer for call in calls[name]]
        texts = [answer.text for answer in answers]
        assert texts == expected_answers(scene)
        assert {answer.frames for answer in answers} == {len(scene.frames)}
        right += sum(text == q.answer for text, q in zip(texts, asked(scene)))
        common.append(texts[-1])
    assert right >= 0.9 * EACH * len(NAMES)
    # One question, four answers, each the colour of the camera's own light.
    assert common == [scene.light.colour(SECONDS) for scene in scenes.values() if scene.light]


def feed(camera: Camera, count: int) -> None:
    for i in range(count):
        camera.publish(make_image((1000 + i) * SECOND, i))
    taken(camera)


def test_what_is_done_to_one_is_done_to_it_only(rig: Rig) -> None:
    for name in NAMES:
        feed(emptied(rig[name]), 4)
    emptied(rig['rear'])
    assert rig['left'].call(SetBool, 'set_paused', SetBool.Request(data=True)).success
    rig['left'].wait_status(lambda status: status.state == StreamStatus.PAUSED)
    assert rig['rear'].ask('What?').error_code == Ask.Response.NO_FRAMES
    for name in ('front', 'right'):
        assert rig[name].ask('What?', timeout=TIME).answer.frames == 4
        assert rig[name].status is not None
        assert rig[name].status.state != StreamStatus.PAUSED
    assert rig['left'].call(SetBool, 'set_paused', SetBool.Request(data=False)).success


def test_saved_streams_do_not_collide(rig: Rig) -> None:
    for name, frames in (('front', 4), ('rear', 6)):
        feed(emptied(rig[name]), frames)
        saved = rig[name].save('here')
        assert saved.path == f'{rig.folder}/saved/robot/{name}/here.safetensors'
    for name, frames in (('front', 4), ('rear', 6)):
        emptied(rig[name])
        assert rig[name].load('here').frames == frames


def set_parameter(client: Camera, name: str, value: Any) -> str:
    parameter = RosParameter(name, value=value).to_parameter_msg()
    request = SetParameters.Request(parameters=[parameter])
    return str(client.call(SetParameters, 'set_parameters', request).results[0].reason)


def listed(client: Camera) -> set[str]:
    names = client.call(ListParameters, 'list_parameters', ListParameters.Request()).result.names
    return {name for name in names if name in {p.name for p in PARAMETERS}}


def test_parameters(rig: Rig) -> None:
    """What is one for the process is on its node, what is a stream's is on its camera's."""
    with Camera(name='/robot/streamvlm') as process:
        assert listed(process) == {p.name for p in PARAMETERS if p.shared}
        assert listed(rig['front']) == {p.name for p in PARAMETERS if not p.shared}
        assert set_parameter(process, 'policy', 'balanced') == ''
        assert 'must be one of frames_first' in set_parameter(process, 'policy', 'mine')
        assert 'clean the node up first' in set_parameter(process, 'model', 'other')
    assert 'clean the node up first' in set_parameter(rig['front'], 'chunk_frames', 2)
    assert "device' is one for all cameras of a process: 'cpu' counts" in rig.process.log()
    # The file gives `left` its own limit and watch; `front` gets one here.
    assert set_parameter(rig['front'], 'max_new_tokens', 1) == ''
    for name, tokens in (('front', 1), ('left', 2)):
        feed(emptied(rig[name]), 2)
        answer = rig[name].ask('What shape is the red thing?', timeout=TIME).answer
        assert answer.completion_tokens == tokens
    for name, watches in (('left', ['light']), ('right', [])):
        found = rig[name].call(ListWatches, 'list_watches', ListWatches.Request()).watches
        assert [watch.name for watch in found] == watches
    assert set_parameter(rig['front'], 'max_new_tokens', 16) == ''


def test_diagnostics_name_every_camera(rig: Rig) -> None:
    seen: set[str] = set()
    camera = rig['front']
    camera.node.create_subscription(
        DiagnosticArray,
        '/diagnostics',
        lambda message: seen.update(status.name for status in message.status),
        10,
    )
    expected = {f'robot/{name}/streamvlm: stream' for name in NAMES}
    assert camera.wait_until(lambda: seen >= expected, TIME)
    assert seen == expected


def test_lifecycle_is_the_process_s(rig: Rig) -> None:
    """One transition for all cameras; what they have seen stays."""
    for name in NAMES:
        feed(emptied(rig[name]), 4)

    def change(transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(process.call(ChangeState, 'change_state', request, TIME).success)

    with Camera(name='/robot/streamvlm') as process:
        assert change(Transition.TRANSITION_DEACTIVATE)
        for camera in rig.cameras.values():
            assert camera.wait_until(lambda camera=camera: camera.subscribers == 0, TIME)
            assert camera.ask('What?').error_code == Ask.Response.NOT_ACTIVE
            camera.wait_status(lambda status: status.state == StreamStatus.INACTIVE)
        assert change(Transition.TRANSITION_ACTIVATE)
    for camera in rig.cameras.values():
        assert camera.wait_until(lambda camera=camera: camera.subscribers == 1, TIME)
        assert camera.ask('What?', timeout=TIME).answer.frames == 4


def test_the_weights_are_there_once(
    domain: int, tmp_path_factory: pytest.TempPathFactory, tmp_path: pathlib.Path
) -> None:
    """A process with four cameras is hardly larger than one with one."""
    from support.models.model_folder import write_model_folder

    folder = write_model_folder(tmp_path_factory.mktemp('large'), intermediate_size=1 << 17)
    weights = (folder / 'model.safetensors').stat().st_size
    assert weights > 250e6
    sizes = {}
    for names in (NAMES[:1], NAMES):
        given: dict[str, Any] = {'model': folder, 'sample_rate': 0.0, 'capacity': 512}
        with contextlib.ExitStack() as stack:
            process = stack.enter_context(NodeProcess(tmp_path, cameras=names, **given))
            for name in names:
                camera = stack.enter_context(
                    Camera(process, topic=f'/{name}/image', name=f'/{name}/streamvlm')
                )
                camera.wait_ready()
                for i in range(2):
                    camera.publish(make_image((1000 + i) * SECOND, i))
                camera.wait_status(lambda status: status.frames_ingested > 0)
                assert camera.ask('What?', max_new_tokens=2, timeout=TIME).success
            sizes[len(names)] = resident_bytes(process.process.pid)
            assert process.stop(signal.SIGINT) == 0
    print(f'weights {weights / 1e6:.0f} MB, resident {[s / 1e6 for s in sizes.values()]} MB')
    assert sizes[1] > weights
    # Copies for all would take three times that; what the allocator holds varies by half of it.
    assert sizes[4] < sizes[1] + weights


def resident_bytes(pid: int) -> int:
    for line in pathlib.Path(f'/proc/{pid}/status').read_text().splitlines():
        if line.startswith('VmRSS:'):
            return int(line.split()[1]) * 1024
    raise AssertionError('a process has a size')
