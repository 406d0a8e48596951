using System.Collections.Immutable;
using System.Net;
using System.Reflection;
using System.Runtime.CompilerServices;
using Launchd.Core;
using Launchd.Core.Recording;
using Launchd.Core.Slots;
using Launchd.Model;
using Launchd.Tests.Simulation;

namespace Launchd.Tests.Core.Recording;

/// <summary>Makes values in which everything is set, to something else each time.</summary>
internal sealed class Filler(SeededRandom random)
{
    private const BindingFlags Own = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

    // Kernel text has bytes that are no UTF-8 as lone halves of pairs, definitions have marks, and people write anything.
    private static readonly string[] Tails = ["", "é", "\uE000slot\uE000", "\uDC80", "\uD83D\uDE00", "\uD83D", "\0", "\n"];

    private int _texts;

    /// <summary>Orders to which a frame may refer.</summary>
    public List<PendingRequest> Requests { get; } = [];

    /// <summary>All that a value of this type can be: of a family, one of each case; else one.</summary>
    public IEnumerable<object> MakeAll(Type type) => CasesOf(type) is { Length: > 0 } cases ? cases.Select(Make) : [Make(type)];

    public object Make(Type type)
    {
        if (Nullable.GetUnderlyingType(type) is { } underlying)
            return Make(underlying);
        if (CasesOf(type) is { Length: > 0 } cases)
            return Make(random.Pick(cases));
        if (type.IsEnum)
            return random.Pick([.. Enum.GetValues(type).Cast<object>()]);
        if (type.IsGenericType && MakeGeneric(type.GetGenericTypeDefinition(), type.GetGenericArguments()[0]) is { } made)
            return made;
        return type switch
        {
            _ when type == typeof(string) => $"text {++_texts}{random.Pick(Tails)}",
            _ when type == typeof(bool) => random.Chance(50),
            _ when type == typeof(double) => random.Between(1, 900) / 7.0,
            _ when type.IsPrimitive => Convert.ChangeType(random.Between(1, 900), type, provider: null),
            _ when type == typeof(SignalNumber) => new SignalNumber(random.Between(1, 64)),
            _ when type == typeof(ServiceName) => new ServiceName("app"),
            _ when type == typeof(IPAddress) => random.Pick(
                IPAddress.Loopback, IPAddress.IPv6Loopback, new IPAddress(IPAddress.Parse("fe80::1").GetAddressBytes(), 7)),
            _ when type == typeof(IPEndPoint) => new IPEndPoint((IPAddress)Make(typeof(IPAddress)), random.Between(1, 65_535)),
            _ when type == typeof(ShortageTurns) => ShortageTurns.Of([(new(1), new(random.Between(1, 9))), (new(10), new(20))])!.Value,
            _ when type == typeof(ServiceState) => MakeState(),
            _ when type == typeof(SupervisorFrame) => MakeFrame(),
            _ when type == typeof(RecordedConfiguration) => Fill(type) is RecordedConfiguration c
                ? c with { Layout = RecordedConfiguration.PresentLayout, Services = [c.Services[0]] } : null!,
            _ when type == typeof(SupervisorDefinition) => ((SupervisorDefinition)Fill(type)) with { Services = [] },
            _ => Fill(type),
        };
    }

    // Its services have records of their own.
    private object Fill(Type type)
    {
        object made = RuntimeHelpers.GetUninitializedObject(type);
        for (Type? at = type; at is not null; at = at.BaseType)
        {
            foreach (FieldInfo field in at.GetFields(Own))
                field.SetValue(made, Make(field.FieldType));
        }
        return made;
    }

    private object? MakeGeneric(Type generic, Type item)
    {
        object Items(Func<Array, object> from)
        {
            Array items = Array.CreateInstance(item, random.Between(1, 3));
            for (int i = 0; i < items.Length; i++)
                items.SetValue(Make(item), i);
            return from(items);
        }

        object Call(Type of, string name, Array items) => of.GetMethods()
            .First(m => m.Name == name && m.GetParameters() is [{ ParameterType.IsGenericType: true } only]
                && only.ParameterType.GetGenericTypeDefinition() == typeof(IEnumerable<>))
            .MakeGenericMethod(item).Invoke(null, [items])!;

        if (generic == typeof(ImmutableArray<>))
            return Items(i => Call(typeof(ImmutableArray), "CreateRange", i));
        if (generic == typeof(ImmutableHashSet<>))
            return Items(i => Call(typeof(ImmutableHashSet), "CreateRange", i));
        if (generic == typeof(ImmutableSortedSet<>))
            return Items(i => Call(typeof(ImmutableSortedSet), "CreateRange", i));
        if (generic == typeof(ImmutableStack<>))
            return Items(i => Call(typeof(ImmutableStack), "CreateRange", i));
        return generic == typeof(IReadOnlyList<>) ? Items(i => i) : null;
    }

    // What the core takes for granted of slots: each has a number of its own, and who lives beside one has the instance's.
    private ServiceState MakeState()
    {
        ServiceState state = (ServiceState)Fill(typeof(ServiceState));
        ServiceName app = new("app");
        SlotPhase.Live[] alive =
            [.. CasesOf(typeof(SlotPhase)).Where(c => c.IsSubclassOf(typeof(SlotPhase.Live))).Select(c => (SlotPhase.Live)Make(c))];
        ImmutableArray<SlotState> beside = [.. alive.Select((live, i) => ((SlotState)Make(typeof(SlotState))) with
        {
            Phase = live with { Instance = live.Instance with { Id = new InstanceId(app, i + 1) } },
            Key = i + 1,
        })];
        bool isForgotten = random.Chance(30);
        return state with
        {
            Slots = [.. state.Slots.Select((s, i) => s with
            {
                Slot = i + 1,
                Key = 0,
                Phase = isForgotten ? SlotPhase.Idle.Value : s.Phase,
            })],
            Beside = isForgotten ? [] : beside,
            IsForgotten = isForgotten,
            IsLeaving = isForgotten || state.IsLeaving,
        };
    }

    private SupervisorFrame MakeFrame()
    {
        SupervisorFrame frame = (SupervisorFrame)Fill(typeof(SupervisorFrame));
        Requests.AddRange(frame.Requests);
        return frame with { Requests = [.. Requests.DistinctBy(r => r.Id)] };
    }

    private static Type[] CasesOf(Type family) => family.IsAbstract && family.IsClass
        ? [.. family.GetNestedTypes(BindingFlags.NonPublic | BindingFlags.Public)
            .Where(t => !t.IsAbstract && t.IsSubclassOf(family) && t != typeof(Effect.Report) && t != typeof(Effect.Reply))]
        : [];
}
