namespace Launchd.Config.Diagnostics;

/// <summary>
/// What is wrong with a configuration, by a number that is never used for anything else. Printed as <c>LD1203</c>. Bands: 10xx
/// syntax and files, 11xx keys, 12xx values, 13xx what belongs together, 14xx not possible here, 15xx not built yet.
/// <c>docs/configuration.md</c> explains each.
/// </summary>
internal enum DiagnosticCode
{
    BadSyntax = 1001,
    FileTooLarge = 1002,
    NestedTooDeep = 1003,
    NulByte = 1004,
    NotUtf8 = 1005,
    FileUnreadable = 1006,
    IncludeLoop = 1007,
    NothingIncluded = 1008,

    UnknownKey = 1101,
    DuplicateKey = 1102,
    DefinedTwice = 1103,
    KeyNotAllowedHere = 1104,
    BadName = 1105,
    KeyMissing = 1106,

    WrongType = 1201,
    BadForm = 1202,
    OutOfRange = 1203,
    UnknownChoice = 1204,
    BadAddress = 1205,
    HostName = 1206,
    UnsetVariable = 1207,
    PlaceholderNotHere = 1208,
    BadSubstitution = 1209,
    ReservedCharacter = 1210,
    EmptyValue = 1211,
    PathTooLong = 1212,
    Contradiction = 1213,
    RepeatedEntry = 1214,
    TildeStays = 1215,

    UnknownReference = 1301,
    DependencyCycle = 1302,
    DuplicateAddress = 1303,
    SharedTrigger = 1304,
    UnknownDescriptor = 1305,
    NeedsSocket = 1306,
    NeedsConnections = 1307,
    NeedsLog = 1308,
    DescriptorTaken = 1309,
    NoEffect = 1310,
    NeverUsed = 1311,
    AbstractSocket = 1312,
    KnownNotToWork = 1313,
    EndNotAwaited = 1314,

    FileNotTrusted = 1401,
    NeedsRoot = 1402,
    VariableLeftOut = 1403,
    NotHere = 1404,
    NotPermitted = 1405,
    OthersDecide = 1406,
    ProgramNotHere = 1407,
    LimitTooHigh = 1408,
    LimitTooLow = 1409,
    LineLeftOut = 1410,

    NotBuilt = 1501,
}

/// <summary>Whether the configuration can be used all the same.</summary>
internal enum DiagnosticSeverity { Error, Warning }
