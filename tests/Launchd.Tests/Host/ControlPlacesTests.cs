using System.Text.RegularExpressions;
using Launchd.Control;
using Launchd.Host.Operators;
using Xunit;

namespace Launchd.Tests.Host;

/// <summary>Who gets a place at the control socket, who makes room, and who may do what there.</summary>
public sealed partial class ControlPlacesTests
{
    private static readonly ControlPeer Root = new(0, IsOwner: true), Alice = new(1000, IsOwner: false), Bob = new(1001, IsOwner: false);

    [Theory]
    [InlineData(PlaceRank.Idle)]
    [InlineData(PlaceRank.Half)]
    [InlineData(PlaceRank.Unread)]
    [InlineData(PlaceRank.Follows)]
    [InlineData(PlaceRank.Waits)]
    public void RootAlwaysGetsAPlace_WhateverItsOwnAreDoing(object rank)
    {
        List<Place> present = [.. Many(Root, ControlPlaces.OfOwners, (PlaceRank)rank)];

        Assert.True(ControlPlaces.TryChoose(present, Root, out Place? leaves));
        Assert.Same(present[0], leaves);
    }

    [Fact]
    public void WhoWaitsForNothingGoesFirst_ThenWhoFollows()
    {
        List<Place> present =
        [
            .. Many(Root, ControlPlaces.OfOwners - 3, PlaceRank.Waits), new(Root, PlaceRank.Follows), new(Root, PlaceRank.Unread),
            new(Root, PlaceRank.Half),
        ];

        foreach (int last in (int[])[63, 62, 61])
        {
            Assert.True(ControlPlaces.TryChoose(present, Root, out Place? leaves));
            Assert.Same(present[last], leaves);
            present[last] = new Place(Root, PlaceRank.Waits);
        }
    }

    [Fact]
    public void AFloodOfOneProcessHitsItself()
    {
        Place script = new(Root with { Pid = 7 }, PlaceRank.Idle);
        List<Place> present = [script, .. Many(Root with { Pid = 8 }, ControlPlaces.OfOwners - 1, PlaceRank.Idle)];

        Assert.True(ControlPlaces.TryChoose(present, Root with { Pid = 8 }, out Place? leaves));
        Assert.Same(present[1], leaves);
    }

    [Fact]
    public void OthersTakeNoPlaceOfRoots_AndNoneMoreThanAShare()
    {
        List<Place> present = [];
        foreach (ControlPeer peer in (ControlPeer[])[Alice, Bob, new(1002, IsOwner: false)])
        {
            for (int i = 0; i < 100; i++)
                Connect(present, peer, PlaceRank.Follows);
        }

        Assert.Equal(ControlPlaces.OfOthers, present.Count);
        Assert.All(present.GroupBy(p => p.Peer), g => Assert.InRange(g.Count(), 1, ControlPlaces.OfOneUser));
        Assert.True(ControlPlaces.TryChoose(present, Root, out Place? leaves));
        Assert.Null(leaves);
        // One who has nothing yet gets in, at the cost of who has most.
        Assert.True(ControlPlaces.TryChoose(present, new ControlPeer(1003, IsOwner: false), out leaves));
        Assert.NotNull(leaves);
    }

    [Fact]
    public void AUserOverItsShareMakesRoomByItself()
    {
        List<Place> present = [new(Bob, PlaceRank.Idle), .. Many(Alice, ControlPlaces.OfOneUser, PlaceRank.Follows)];

        Assert.True(ControlPlaces.TryChoose(present, Alice, out Place? leaves));
        Assert.Same(present[1], leaves);
    }

    [Fact]
    public void EveryMethodOfTheInterfaceHasItsRight_AndNoOther()
    {
        string[] methods = [.. MethodLine().Matches(InterfaceDescription.Text).Select(m => m.Groups[1].Value)];

        Assert.Contains("Shutdown", methods);
        Assert.All(methods, m => Assert.NotNull(ControlRights.Of(ControlNames.Interface + "." + m)));
        Assert.Null(ControlRights.Of("Status"));
        Assert.True(Root.May(ControlRight.Own) && Alice.May(ControlRight.Order) && !Alice.May(ControlRight.Own));
    }

    private static void Connect(List<Place> present, ControlPeer peer, PlaceRank rank)
    {
        if (!ControlPlaces.TryChoose(present, peer, out Place? leaves))
            return;
        if (leaves is not null)
            present.Remove(leaves);
        present.Add(new Place(peer, rank));
    }

    private static IEnumerable<Place> Many(ControlPeer peer, int count, PlaceRank rank) =>
        Enumerable.Range(0, count).Select(_ => new Place(peer, rank));

    [GeneratedRegex(@"^method (\w+)\(", RegexOptions.Multiline)]
    private static partial Regex MethodLine();

    private sealed class Place(ControlPeer peer, PlaceRank rank) : IControlPlace
    {
        public ControlPeer Peer => peer;
        public PlaceRank Rank => rank;
    }
}
