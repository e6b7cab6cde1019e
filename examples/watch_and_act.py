# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node that drives while the light is green: `python3 watch_and_act.py`."""

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import Bool

from streamvlm_ros.client import StreamClient, WatchEvent


class Driver(Node):
    """Publishes on `drive` whether to drive, each time the light changes."""

    def __init__(self) -> None:
        super().__init__('driver')
        self._drive = self.create_publisher(Bool, 'drive', 10)
        self.robot = StreamClient('streamvlm', node=self)
        self._light = self.robot.watch(
            'What colour is the light now?', ['red', 'green', 'blue'], on_event=self.act
        )

    def act(self, event: WatchEvent) -> None:
        """Drive or stop; called in this node's executor, where asking is allowed too."""
        self._drive.publish(Bool(data=event.choice == 'green'))
        last = self.robot.ask('Which object left last?')
        self.get_logger().info(f'{event.choice}; the last object that left: {last.text}')


def main() -> None:
    """Spin until Ctrl-C."""
    rclpy.init()
    driver = Driver()
    try:
        rclpy.spin(driver)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        driver.robot.close()  # removes the watch
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
