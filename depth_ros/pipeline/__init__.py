"""The one place where an image becomes depth: node, offline tools and evaluation all come here.

    pipeline = DepthPipeline.open(Model.load('lite0'))   # the networks; no memory of frames
    track = CameraTrack(pipeline, TrackSettings())       # one camera: keyframe, odometry, scale
    estimate = track.process(Frame(stamp_ns, image, intrinsics))
"""

from depth_ros.pipeline.depth_pipeline import DepthPipeline, Frame, NetworkAnswer
from depth_ros.pipeline.estimate import DepthEstimate, Estimate, OutputSize, TrackSettings, Wanted
from depth_ros.pipeline.track import CameraTrack
from depth_ros.pipeline.track_steps import BegunFrame, SeenFrame

__all__ = [
    'BegunFrame',
    'CameraTrack',
    'DepthEstimate',
    'DepthPipeline',
    'Estimate',
    'Frame',
    'NetworkAnswer',
    'OutputSize',
    'SeenFrame',
    'TrackSettings',
    'Wanted',
]
