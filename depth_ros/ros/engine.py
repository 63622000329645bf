"""All that a configured node holds: model, outputs, worker, and while active its inputs."""

from __future__ import annotations

from collections.abc import Iterable

from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.callback_groups import CallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

from depth_ros.errors import ConfigError, DepthRosError, MessageError
from depth_ros.messages import pose_to_matrix, stamp_ns
from depth_ros.model import Model
from depth_ros.parameters import NodeParameters
from depth_ros.ros.camera_infos import CameraInfos
from depth_ros.ros.health import Health, Level, Problem, Trouble
from depth_ros.ros.input_watch import watch_inputs
from depth_ros.ros.inputs import Arrival, Inputs, image_topic
from depth_ros.ros.model_loader import LoadedModel, LoadRequest, ModelLoader
from depth_ros.ros.monitor import Monitor
from depth_ros.ros.outputs import Outputs
from depth_ros.ros.processor import FrameProcessor
from depth_ros.ros.static_transforms import StaticTransforms
from depth_ros.ros.transforms import TransformBroadcaster, listen_to_static_transforms
from depth_ros.ros.worker import Worker
from depth_ros.scale import ScaleSource, make_scale


class DepthEngine:
    """From the node's inputs to its outputs.

    Calls come from the executor; the model is loaded on a thread of its own and used on the
    worker's.
    """

    def __init__(
        self,
        node: LifecycleNode,
        parameters: NodeParameters,
        input_group: CallbackGroup,
        health: Health,
        monitor: Monitor,
    ) -> None:
        """Check the model, create the outputs, and begin to load.

        Args:
            node: whose topics are used.
            parameters: as they are now.
            input_group: of images and camera_info.
            health: counts frames.
            monitor: takes what goes wrong.

        Raises:
            DepthRosError: there is no such model, or it has not the scale that is asked for.
        """
        self._model = Model.load(parameters.model)
        make_scale(parameters.track_settings.scale, self._model.spec)
        self._node = node
        self._parameters = parameters
        self._health = health
        self._monitor = monitor
        self._input_group = input_group
        self._infos = CameraInfos()
        self._transforms = StaticTransforms()
        self._outputs = Outputs(node)
        self._processor = FrameProcessor(
            parameters,
            image_topic(node, parameters.image_transport),
            self._infos,
            self._transforms,
            self._outputs,
            health,
            monitor,
        )
        self._worker = Worker(self._processor.process)
        self._inputs: Inputs | None = None
        self._loaded: LoadedModel | None = None
        self._broadcaster: TransformBroadcaster | None = None
        self._odometry_input: Subscription | None = None
        self._static_input = listen_to_static_transforms(node, self._on_static_transforms)
        self._follow(parameters)
        self._loader = ModelLoader(self._on_loaded, self._on_load_failed, self._on_load_told)
        self._loader.request(LoadRequest(self._model, parameters.backend_options))

    @property
    def backend_text(self) -> str:
        """What the model runs on."""
        if self._loaded is not None:
            return self._loaded.pipeline.description
        return 'loading' if self._loader.busy else 'none'

    @property
    def doing_text(self) -> str:
        """What takes long just now, such as building an engine; empty where nothing does."""
        return self._loader.doing

    @property
    def model_text(self) -> str:
        """The model in use, or the one being loaded."""
        model = self._model if self._loaded is None else self._loaded.model
        return f'{model.spec.name} ({model.path})'

    @property
    def scale_text(self) -> str:
        """Where metres come from."""
        return self._processor.scale_text

    def activate(self) -> None:
        """Take images from now on."""
        self._health.start()
        self._processor.reset('the node was activated')
        self._worker.start()
        self._inputs = Inputs(
            self._node,
            self._parameters.image_transport,
            self._infos,
            self._on_image,
            self._input_group,
        )

    def deactivate(self) -> None:
        """Wait for the frame in flight and take no more."""
        if self._inputs is not None:
            self._inputs.destroy()
            self._inputs = None
        self._worker.stop()
        self._infos.clear()

    def close(self) -> None:
        """Give everything back, in any state."""
        self.deactivate()
        self._loader.close()
        self._processor.close()
        self._outputs.destroy()
        if self._broadcaster is not None:
            self._broadcaster.destroy()
        for subscription in (self._odometry_input, self._static_input):
            if subscription is not None:
                self._node.destroy_subscription(subscription)

    def reset(self, reason: str) -> None:
        """Start a new odometry with the next frame."""
        self._processor.reset(reason)

    def watch(self) -> None:
        """Report inputs that are missing; to be called about once a second."""
        inputs = self._inputs
        if inputs is not None:
            watch_inputs(inputs, self._parameters.image_timeout, self._monitor)

    def change(self, parameters: NodeParameters, reload: bool) -> None:
        """Follow other parameters: at once, or with the model that they ask for.

        Args:
            parameters: all of them.
            reload: whether what the model or its runtime depends on was set.

        Raises:
            DepthRosError: no such model, or it has not the scale that is asked for; then nothing
                is changed.
        """
        model = Model.load(parameters.model) if reload else self._model
        make_scale(parameters.track_settings.scale, model.spec)
        self._parameters = parameters
        if reload:
            self._model = model
            self._loader.request(LoadRequest(model, parameters.backend_options))
        else:
            self._processor.apply(parameters)
        self._follow(parameters)

    def _follow(self, parameters: NodeParameters) -> None:
        """Open and close what only some parameters need."""
        self._monitor.clear(Trouble.TF)
        if parameters.publish_tf and self._broadcaster is None:
            try:
                self._broadcaster = TransformBroadcaster(self._node)
            except ConfigError as error:
                self._monitor.report(Trouble.TF, Problem(Level.WARN, str(error)))
        elif not parameters.publish_tf and self._broadcaster is not None:
            self._broadcaster.destroy()
            self._broadcaster = None
        self._processor.broadcast(self._broadcaster)
        wanted = parameters.scale_source is ScaleSource.ODOMETRY
        if wanted and self._odometry_input is None:
            self._odometry_input = self._node.create_subscription(
                Odometry,
                'odometry',
                self._on_odometry,
                qos_profile_sensor_data,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
        elif not wanted and self._odometry_input is not None:
            self._node.destroy_subscription(self._odometry_input)
            self._odometry_input = None

    def _on_image(self, arrival: Arrival) -> None:
        self._health.count(received=1, overtaken=int(self._worker.put(arrival)))

    def _on_odometry(self, message: Odometry) -> None:
        try:
            pose = pose_to_matrix(message.pose.pose)
        except MessageError as error:
            self._monitor.report(Trouble.ODOMETRY, Problem(Level.WARN, f'odometry: {error}'))
        else:
            self._processor.add_odometry(stamp_ns(message.header), pose)

    def _on_static_transforms(self, transforms: Iterable[TransformStamped]) -> None:
        try:
            self._transforms.store(transforms)
        except MessageError as error:
            self._monitor.report(Trouble.TF, Problem(Level.WARN, f'/tf_static: {error}'))

    def _on_loaded(self, loaded: LoadedModel) -> None:
        """On the loader's thread."""
        self._processor.install(loaded, self._parameters)
        self._loaded = loaded
        self._node.get_logger().info(
            f'model {loaded.model.spec.name} runs on {loaded.pipeline.description}, '
            f'loaded in {loaded.seconds:.1f} s'
        )
        self._monitor.clear(Trouble.MODEL, Trouble.BACKEND)
        if loaded.pipeline.caveat:
            self._monitor.report(Trouble.BACKEND, Problem(Level.WARN, loaded.pipeline.caveat))
        self._monitor.publish()

    def _on_load_told(self, text: str) -> None:
        """On the loader's thread."""
        self._node.get_logger().info(text)
        self._monitor.publish()

    def _on_load_failed(self, request: LoadRequest, error: DepthRosError) -> None:
        """On the loader's thread."""
        kept = self._loaded
        state = 'no model is loaded' if kept is None else f'{kept.model.spec.name} runs on'
        self._monitor.report(Trouble.MODEL, Problem(Level.ERROR, f'{error} ({state})'))
