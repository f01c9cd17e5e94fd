"""The names of nodes in the graph."""

from rclpy.topic_endpoint_info import TopicEndpointInfo


def node_name(endpoint: TopicEndpointInfo) -> str:
    """The full name of the node of a publisher or subscription: "another node" while it is being discovered."""
    if endpoint.node_name == "_NODE_NAME_UNKNOWN_":  # the middleware sends names after endpoints
        return "another node"
    return f"{endpoint.node_namespace.rstrip('/')}/{endpoint.node_name}"
