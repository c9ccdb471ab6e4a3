from bastionlab.v1 import attestation_pb2 as _attestation_pb2
from bastionlab.v1 import user_pb2 as _user_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HelloRequest(_message.Message):
    __slots__ = ("client_version",)
    CLIENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    client_version: str
    def __init__(self, client_version: _Optional[str] = ...) -> None: ...

class HelloResponse(_message.Message):
    __slots__ = ("server_version", "protocol", "challenge")
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    server_version: str
    protocol: int
    challenge: bytes
    def __init__(self, server_version: _Optional[str] = ..., protocol: _Optional[int] = ..., challenge: _Optional[bytes] = ...) -> None: ...

class SignInRequest(_message.Message):
    __slots__ = ("public_key", "signature", "challenge", "binding")
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    BINDING_FIELD_NUMBER: _ClassVar[int]
    public_key: bytes
    signature: bytes
    challenge: bytes
    binding: _attestation_pb2.Binding
    def __init__(self, public_key: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., challenge: _Optional[bytes] = ..., binding: _Optional[_Union[_attestation_pb2.Binding, str]] = ...) -> None: ...

class SignInResponse(_message.Message):
    __slots__ = ("token", "expires_in_seconds", "user", "roles")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_IN_SECONDS_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    token: str
    expires_in_seconds: int
    user: str
    roles: _containers.RepeatedScalarFieldContainer[_user_pb2.Role]
    def __init__(self, token: _Optional[str] = ..., expires_in_seconds: _Optional[int] = ..., user: _Optional[str] = ..., roles: _Optional[_Iterable[_Union[_user_pb2.Role, str]]] = ...) -> None: ...
