"""Everything that can go wrong, as one tree.

GroundglassError
├── SettingsError                 the configuration cannot be used
│   ├── PortTaken                 a port cannot be opened
│   └── CertificateError          files of TLS cannot be used
│       ├── CertificateMissing    a file is not there
│       ├── CertificateUnreadable it cannot be read, or is not what it should be
│       ├── CertificateExpired    the certificate is not in force today
│       └── CertificateMismatch   certificate and key do not belong together
├── IllegalTransition             a state table has no such step
├── DicomError                    what a peer sent
│   ├── NotDicom                  no DICOM data set could be read
│   ├── TruncatedObject           the data set ends too early
│   ├── IdentityMissing           a UID that identifies the object is absent or malformed
│   ├── IdentityMismatch          data set and C-STORE request name different objects
│   ├── ObjectTooLarge            larger than the limit
│   ├── UnsupportedTransferSyntax no decoder for it
│   ├── DecodeFailed              the pixel data cannot be decoded
│   ├── EncodeFailed              nor written in the wanted transfer syntax without loss
│   ├── HounsfieldUnknown         rescale to HU is absent or not HU
│   ├── GreyscaleUnknown          how a radiograph's values are shown cannot be told
│   ├── NotAReport                no structured report of this node
│   ├── CommitmentMalformed       a storage commitment message lacks what it must have
│   ├── AnnouncementMalformed     a procedure step or notification lacks what it must have
│   └── QueryMalformed            the identifier of a query or retrieval does not fit its SOP class
├── GeometryError                 slices do not form a volume
│   ├── OrientationUnknown        ImageOrientationPatient is missing or malformed
│   └── MixedOrientation          slices of one stack have different orientations
├── StoreError                    the index or the object files
│   ├── OutOfSpace                no room left on the device
│   ├── ProcessUnavailable        no process beside the node can be started now (retryable)
│   ├── CodecsUnavailable         nor one that decodes (retryable)
│   ├── StoreInUse                another node holds this store
│   ├── ObjectMissing             the index names a file that is not there or differs
│   ├── UnknownSubject            no such study, series, screening or destination
│   ├── AnnouncementKnown         a procedure step or notification of this UID is there
│   ├── StepEnded                 a procedure step that has ended may not be changed
│   ├── StepOfAnother             a procedure step may be changed only by the peer that created it
│   ├── TransactionInUse          a commitment was asked for other instances under this transaction
│   └── TooManyRequests           a peer asks for more commitments than are answered at a time
├── ModelError                    the model folder and the engine
│   ├── InputSpecError            input_spec.json is malformed
│   ├── BundleError               a file of the model folder is missing or malformed
│   ├── ModelNotServed            no such model or version is installed or served
│   ├── HandshakeFailed           digests of folder and configuration, or of node and server, differ
│   ├── ServerTooOld              the inference server lacks fixes that matter
│   ├── CanaryFailed              the golden replay differs: nothing may be screened
│   ├── ScoresInvalid             the engine's answer is not a set of scores
│   └── EngineUnavailable         the engine cannot answer now (retryable)
│       └── CircuitOpen           it failed too often and is left alone for a while
├── ScreeningError                one job failed
│   └── ReportImpossible          what the report needs is not there
└── DeliveryError                 one object did not reach one destination
    ├── DestinationUnavailable    no association (retryable)
    │   ├── DestinationUntrusted  no TLS: one side did not take what the other one showed
    │   └── DestinationSilent     it was sent something and gave no answer: that may have arrived
    └── DestinationRefused        the destination said no (an operator must look)
"""

from __future__ import annotations


class GroundglassError(Exception):
    """Base of every error of the node.

    Attributes
    ----------
    retryable : bool
        Whether the same action may succeed later without anybody changing anything.
    """

    retryable: bool = False


class SettingsError(GroundglassError):
    """The configuration cannot be used; the message names the key."""


class PortTaken(SettingsError):
    """A port cannot be opened: another program has it, or this one may not."""


class CertificateError(SettingsError):
    """The files of TLS cannot be used; the message names the file."""


class CertificateMissing(CertificateError):
    """A file of TLS is not there."""


class CertificateUnreadable(CertificateError):
    """A file of TLS cannot be read, or is not what it should be."""


class CertificateExpired(CertificateError):
    """The certificate is not in force today."""


class CertificateMismatch(CertificateError):
    """Certificate and key do not belong together."""


class IllegalTransition(GroundglassError):
    """A state table has no step for this state and event."""


class DicomError(GroundglassError):
    """Something is wrong with an object that a peer sent."""


class NotDicom(DicomError):
    """No DICOM data set could be read."""


class TruncatedObject(DicomError):
    """The data set ends before its announced length."""


class IdentityMissing(DicomError):
    """A UID that identifies the object is absent or malformed (PS3.5 section 9.1)."""


class IdentityMismatch(DicomError):
    """Data set and C-STORE request name different objects (PS3.4 B.2.3, A900H)."""


class ObjectTooLarge(DicomError):
    """The object is larger than the limit of the settings."""


class UnsupportedTransferSyntax(DicomError):
    """No decoder of the node reads this transfer syntax."""


class DecodeFailed(DicomError):
    """The pixel data cannot be decoded."""


class EncodeFailed(DicomError):
    """The pixel data cannot be written in the wanted transfer syntax without loss."""


class HounsfieldUnknown(DicomError):
    """The rescale to Hounsfield units is absent, or the rescale type is another one (PS3.3 C.8.2.1)."""


class GreyscaleUnknown(DicomError):
    """The rescale or look-up table of a radiograph is malformed (PS3.3 C.11.1)."""


class NotAReport(DicomError):
    """The object is no structured report that this node makes."""


class CommitmentMalformed(DicomError):
    """A storage commitment message lacks what it must have (PS3.4 annex J)."""


class AnnouncementMalformed(DicomError):
    """A procedure step or notification of availability lacks what it must have (PS3.4 F.7, annex R)."""


class QueryMalformed(DicomError):
    """The identifier of a query or retrieval does not fit its SOP class (PS3.4 section C.4, A900H)."""


class GeometryError(GroundglassError):
    """Slices do not form a volume."""


class OrientationUnknown(GeometryError):
    """ImageOrientationPatient or ImagePositionPatient is missing or malformed."""


class MixedOrientation(GeometryError):
    """Slices that should form one stack have different orientations."""


class StoreError(GroundglassError):
    """The index or the object files."""


class OutOfSpace(StoreError):
    """No room is left on the device; the sender is answered A700H."""

    retryable = True


class ProcessUnavailable(StoreError):
    """No process beside the node can be started now."""

    retryable = True


class CodecsUnavailable(StoreError):
    """No process that decodes stored pixels can be started now."""

    retryable = True


class StoreInUse(StoreError):
    """Another node holds this store."""


class ObjectMissing(StoreError):
    """The index names a file that is not there or has another digest."""


class ObjectDamaged(StoreError):
    """An object file has another size than the index says."""


class UnknownSubject(StoreError):
    """No such study, series, screening, delivery or destination."""


class AnnouncementKnown(StoreError):
    """There is a performed procedure step or notification of this SOP Instance UID."""


class StepEnded(StoreError):
    """A performed procedure step that is completed or discontinued may not be changed (PS3.4 F.7.2.2)."""


class StepOfAnother(StoreError):
    """A performed procedure step may be changed only by the peer that created it (PS3.4 F.7.2.2)."""


class TransactionInUse(StoreError):
    """The peer has asked for the commitment of other instances under the same transaction."""


class TooManyRequests(StoreError):
    """The peer has more requests for storage commitment open than are answered at a time."""

    retryable = True


class AttributeRefused(GroundglassError):
    """An attribute cannot be put right by hand, or not to this value; the message names the keyword."""


class ModelError(GroundglassError):
    """The model folder and the engine."""


class InputSpecError(ModelError):
    """input_spec.json is malformed; the message names the key."""


class BundleError(ModelError):
    """A file of the model folder is missing or malformed."""


class ModelNotServed(ModelError):
    """No such model or version is installed here, or the server does not serve it."""


class HandshakeFailed(ModelError):
    """The digests of the folder and of its configuration differ, or those of node and server."""


class ServerTooOld(ModelError):
    """The inference server is older than the fixes that patients' images ask for."""


class CanaryFailed(ModelError):
    """The golden replay differs from the stored answer: nothing may be screened."""


class ScoresInvalid(ModelError):
    """The engine's answer is not a set of scores: wrong shape, not finite, or outside its range."""


class EngineUnavailable(ModelError):
    """The engine cannot answer now; the screening is parked."""

    retryable = True


class CircuitOpen(EngineUnavailable):
    """The engine failed too often in a row and is left alone until the next probe."""


class ScreeningError(GroundglassError):
    """One screening failed."""


class ReportImpossible(ScreeningError):
    """What a report needs is not there; the message says what."""


class DeliveryError(GroundglassError):
    """One object did not reach one destination."""


class DestinationUnavailable(DeliveryError):
    """No association with the destination, or it ended before the answer."""

    retryable = True


class DestinationUntrusted(DestinationUnavailable):
    """No TLS with the destination: one side did not take what the other one showed, or has none.

    Nothing was sent. It passes without a new attempt by hand once the certificates are put right.
    """


class DestinationSilent(DestinationUnavailable):
    """The destination was sent something and gave no answer that tells whether it took it."""


class BrokenOff(DestinationUnavailable):
    """What was under way was ended from here: nobody wants it any more, or nothing came of it."""


class DestinationRefused(DeliveryError):
    """The destination refused the object; an operator must look."""
